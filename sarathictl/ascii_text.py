"""What we print and draw, written with ASCII alone, for terminals that have no more."""

_TO_ASCII = str.maketrans(
    {
        "█": "#",
        "▒": "+",
        "░": ":",
        "▀": "^",
        "▁": ".",
        "▂": ".",
        "▃": ".",
        "▄": "=",
        "▅": "=",
        "▆": "=",
        "▇": "#",
        "▏": " ",
        "▎": " ",
        "▍": "=",
        "▌": "=",
        "▋": "=",
        "▊": "#",
        "▉": "#",
        "┄": "-",
        "╌": "-",
        "─": "-",
        "│": "|",
        "┤": "|",
        "┴": "+",
        "·": ".",
        "●": "*",
        "◌": "o",
        "‖": "=",
        "✘": "X",
        "✔": "+",
        "▶": ">",
        "▪": "#",
        "≠": "!",
        "▲": "^",
        "▴": "^",
        "▾": "v",
        "┊": ":",
        "←": "<",
        "→": ">",
        "↯": "!",
        "≤": "<",
        "—": "-",
        "−": "-",
        "…": "~",
        "×": "x",
    }
)


def ascii_only(text: str) -> str:
    """Return `text`, as long as it is, with every character that is none replaced by one."""
    return text.translate(_TO_ASCII).encode("ascii", "replace").decode()
