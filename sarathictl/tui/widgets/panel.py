"""A box that shows lines of styled text, drawn anew when what it shows changes."""

from abc import abstractmethod
from collections.abc import Sequence

from rich.style import Style
from rich.text import Text
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.widgets.strips import changed_span, strip_of


class Panel(Widget):
    """Shows one aspect of a view: a subclass says which lines, this class paints those that changed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[EngineView, Watch, Look] | None = None
        self._lines: list[Text] = []
        self._strips: list[Strip] = []
        self._title = Text()
        self._ground: Style | None = None

    @property
    def view(self) -> EngineView | None:
        """What is shown now, None before the first."""
        return self._shown[0] if self._shown else None

    def show(self, view: EngineView, watch: Watch, look: Look) -> None:
        """Show another view."""
        self._shown = (view, watch, look)
        self.repaint()

    def repaint(self) -> None:
        """Draw anew what is shown, because it or how it is shown changed."""
        width, height = self.size
        if self._shown is None or not width or not height:
            return
        view, watch, look = self._shown
        self._put_title(self.title_of(view, look))
        self._put(self.draw(view, watch, width, height, look), width)

    @property
    def ground(self) -> Style:
        """What its lines are painted upon, looked for in all that it lies in once after each change of the styles."""
        if self._ground is None:
            self._ground = self.rich_style
        return self._ground

    def notify_style_update(self) -> None:
        self._ground = None
        self._lines = []
        super().notify_style_update()

    def title_of(self, view: EngineView, look: Look) -> Text:
        """Return what the border says; empty for a panel without one."""
        del view, look
        return Text()

    @abstractmethod
    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        """Return at most `height` lines of `width` cells."""

    def on_resize(self) -> None:
        self._lines = []
        self.repaint()

    def render_line(self, y: int) -> Strip:
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.ground)

    def refresh_parts(self, regions: Sequence[Region]) -> None:
        """Paint these regions of its lines again."""
        self.refresh(*regions)

    def _put_title(self, title: Text) -> None:
        written = title
        if title and not self.styles.border_left[0]:
            written = Text.assemble(" ", title, " ")  # a rule without corners leaves no room of its own
        if written != self._title:
            self._title = written
            self.border_title = written

    def _put(self, lines: list[Text], width: int) -> None:
        """Refresh only the parts that differ: an idle engine sends nothing to the terminal."""
        known, before = self._lines, self._strips
        console = self.app.console
        self._lines = lines
        self._strips = [
            before[y]
            if y < len(known) and (text is known[y] or text == known[y])
            else strip_of(text, width, self.ground, console)
            for y, text in enumerate(lines)
        ]
        if len(before) != len(self._strips):
            self.refresh_parts([Region(0, 0, *self.size)])
            return
        changed = [
            Region(span[0], y, span[1], 1)
            for y, (old, new) in enumerate(zip(before, self._strips, strict=True))
            if new is not old and (span := changed_span(old, new)) is not None
        ]
        if changed:
            self.refresh_parts(changed)
