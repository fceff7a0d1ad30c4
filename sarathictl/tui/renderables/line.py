"""Lines of styled text: put together, fitted to a width, and written with ASCII alone."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from rich.style import Style
from rich.text import Span, Text

from sarathictl.ascii_text import ascii_only
from sarathictl.tui.renderables.look import Look

Piece: TypeAlias = tuple[str, Style]

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LEFT_EIGHTHS = " ▏▎▍▌▋▊▉█"


def line(pieces: Iterable[Piece]) -> Text:
    """Return one line of text from pieces with their styles."""
    words, spans, end = [], [], 0
    for content, style in pieces:
        if content:
            words.append(content)
            spans.append(Span(end, end := end + len(content), style))
    return Text("".join(words), no_wrap=True, end="", spans=spans)


def title(name: str, words: str, look: Look) -> Text:
    """Return what stands on top of a panel: its name, and words on what is in it."""
    return line([(name, look.strong), (f"  {words}" if words else "", look.plain)])


def fit(text: Text, width: int) -> Text:
    """Return `text` cut with an ellipsis, or padded, to exactly `width` cells."""
    if text.cell_len == width:
        return text
    fitted = text.copy()
    fitted.truncate(width, overflow="ellipsis", pad=True)
    return fitted


def spread(left: Text, right: Text, width: int) -> Text:
    """Return `left` and `right` at the two ends of a line; `left` gives way where both do not fit."""
    room = max(0, width - right.cell_len)
    return fit(Text.assemble(fit(left, room), right), width)


def as_many_as_fit(pieces: Sequence[Text], width: int, separator: str = "  ") -> Text:
    """Return the pieces joined, without those from the first on that does not fit whole."""
    joined = Text()
    for piece in pieces:
        candidate = Text.assemble(joined, separator if joined else "", piece)
        if candidate.cell_len > width:
            break
        joined = candidate
    return joined


def column_of(share: float) -> str:
    """Return the block, in eighths from the bottom, for a share of a cell in [0, 1]; never empty above 0."""
    return _EIGHTHS[_num_eighths(share)]


def bar(share: float, width: int) -> str:
    """Return a horizontal bar, in eighths from the left, as long as a share in [0, 1] of `width` cells."""
    num_full, rest = divmod(min(max(share, 0.0), 1.0) * width, 1.0)
    edge = _LEFT_EIGHTHS[round(rest * 8)] if num_full < width else ""
    return ("█" * int(num_full) + edge).ljust(width)[:width]


def in_ascii(text: Text) -> Text:
    """Return a line with the same styles, written with ASCII alone."""
    written = text.copy()
    written.plain = ascii_only(text.plain)
    return written


def _num_eighths(share: float) -> int:
    return 0 if share <= 0.0 else max(1, min(8, round(share * 8)))
