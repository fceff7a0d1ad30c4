"""A box that shows lines of styled text, drawn anew when what it shows changes."""

from abc import abstractmethod

from rich.text import Text

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.widgets.lines import Lines


class Panel(Lines):
    """Shows one aspect of a view: a subclass says which lines."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._shown: tuple[EngineView, Watch, Look] | None = None
        self._title = Text()

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
        self.put(self.draw(view, watch, width, height, look))

    def title_of(self, view: EngineView, look: Look) -> Text:
        """Return what the border says; empty for a panel without one."""
        del view, look
        return Text()

    @abstractmethod
    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        """Return at most `height` lines of `width` cells."""

    def on_resize(self) -> None:
        self._lines = ()
        self.repaint()

    def _put_title(self, title: Text) -> None:
        written = title
        if title and not self.styles.border_left[0]:
            written = Text.assemble(" ", title, " ")  # a rule without corners leaves no room of its own
        if written != self._title:
            self._title = written
            self.border_title = written
