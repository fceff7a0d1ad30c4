"""A box that shows lines of styled text, drawn anew when what it shows changes."""

from rich.text import Text
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.line import ascii_only, in_ascii
from sarathictl.tui.renderables.look import Look


class Panel(Widget):
    """Shows one aspect of a view: a subclass says which lines, this class when and how they are painted."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[EngineView, Watch, Look] | None = None
        self._strips: list[Strip] | None = None

    @property
    def view(self) -> EngineView | None:
        """What is shown now, None before the first."""
        return self._shown[0] if self._shown else None

    def show(self, view: EngineView, watch: Watch, look: Look) -> None:
        """Show another view."""
        self._shown = (view, watch, look)
        self.repaint()

    def repaint(self) -> None:
        """Draw anew what is shown, because how it is shown changed."""
        self._strips = None
        if self._shown is not None:
            view, _, look = self._shown
            title = self.title_of(view)
            self.border_title = ascii_only(title) if look.is_ascii else title
        self.refresh()

    def title_of(self, view: EngineView) -> str:
        """Return what the border says; empty for a panel without one."""
        del view
        return ""

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        """Return at most `height` lines of `width` cells."""
        raise NotImplementedError

    def on_resize(self) -> None:
        self._strips = None

    def render_line(self, y: int) -> Strip:
        if self._strips is None:
            self._strips = self._draw_strips(self.size)
        if y < len(self._strips):
            return self._strips[y].apply_style(self.rich_style)
        return Strip.blank(self.size.width, self.rich_style)

    def _draw_strips(self, size: Size) -> list[Strip]:
        if self._shown is None:
            return []
        view, watch, look = self._shown
        lines = self.draw(view, watch, size.width, size.height, look)
        return [self._strip_of(in_ascii(text) if look.is_ascii else text, size.width) for text in lines]

    def _strip_of(self, text: Text, width: int) -> Strip:
        return Strip(text.render(self.app.console)).adjust_cell_length(width)
