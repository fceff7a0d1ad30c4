"""Figures three lines tall, to be read across a room."""

_LINES = 3
# Half blocks: six dots by three a digit.
_SHAPES = {
    "0": ("█▀█", "█ █", "▀▀▀"),
    "1": (" █ ", " █ ", " ▀ "),
    "2": ("▀▀█", "█▀▀", "▀▀▀"),
    "3": ("▀▀█", " ▀█", "▀▀▀"),
    "4": ("█ █", "▀▀█", "  ▀"),
    "5": ("█▀▀", "▀▀█", "▀▀▀"),
    "6": ("█▀▀", "█▀█", "▀▀▀"),
    "7": ("▀▀█", "  █", "  ▀"),
    "8": ("█▀█", "█▀█", "▀▀▀"),
    "9": ("█▀█", "▀▀█", "▀▀▀"),
    ".": (" ", " ", "▀"),
    "—": ("   ", "▀▀▀", "   "),
}


def tall(number: str) -> tuple[str, ...]:
    """Return the three lines of a number written with digits, a point or a dash."""
    shapes = [_SHAPES[character] for character in number]
    return tuple(" ".join(shape[row] for shape in shapes) for row in range(_LINES))
