"""Lines of styled text, of which those parts are painted again that changed."""

from collections.abc import Sequence

from rich.style import Style
from rich.text import Text
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from sarathictl.tui.widgets.strips import changed_span, strip_of


class Lines(Widget):
    """Shows the lines that were put in it last."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Text] = ()
        self._strips: list[Strip] = []
        self._ground: Style | None = None

    @property
    def ground(self) -> Style:
        """What its lines are painted upon, looked for in all that it lies in once after each change of the styles."""
        if self._ground is None:
            self._ground = self.rich_style
        return self._ground

    def notify_style_update(self) -> None:
        self._ground = None
        self._lines = ()
        super().notify_style_update()

    def on_resize(self) -> None:
        """Make strips of the lines there are, as wide as it is now."""
        lines, self._lines = self._lines, ()
        self.put(lines)

    def put(self, lines: Sequence[Text]) -> None:
        """Show other lines; only the parts that differ are sent to the terminal, of an idle engine nothing."""
        known, before = self._lines, self._strips
        width, console = self.size.width, self.app.console
        self._lines = lines
        self._strips = [
            before[y]
            if y < len(known) and (text is known[y] or text == known[y])
            else strip_of(text, width, self.ground, console)
            for y, text in enumerate(lines)
        ]
        if len(before) != len(self._strips):
            self.refresh()
            return
        changed = [
            Region(span[0], y, span[1], 1)
            for y, (old, new) in enumerate(zip(before, self._strips, strict=True))
            if new is not old and (span := changed_span(old, new)) is not None
        ]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.ground)
