"""The last thing before the terminal where that has ASCII alone: whatever was drawn, written so."""

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from sarathictl.ascii_text import ascii_only


class AsciiFilter(LineFilter):
    """Writes every line with ASCII characters, as wide as it was."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(ascii_only(text), style, control) for text, style, control in segments]
