"""The stall feed, one of whose stalls can be marked."""

from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.message import Message

from sarathictl.keymap import Place
from sarathictl.state.engine_view import EngineView
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.renderables.explanation import draw_explanation
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.line import fit, line, title
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.stalls import draw_stalls, stalls_title
from sarathictl.tui.widgets.panel import Panel
from sarathid.protocol.stats import StallEvent


class StallsPanel(Panel, can_focus=True):
    """Shows the newest stalls; a marked one stays marked while newer ones come."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.STALL_LIST)

    class Marked(Message):
        """Another stall is marked."""

    class Explained(Message):
        """Somebody wants to know why a stall happened."""

        def __init__(self, stall: StallEvent) -> None:
            super().__init__()
            self.stall = stall

    class FixAsked(Message):
        """Somebody wants a stall prevented."""

        def __init__(self, stall: StallEvent) -> None:
            super().__init__()
            self.stall = stall

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._marked: StallEvent | None = None

    @property
    def marked(self) -> StallEvent | None:
        """The marked stall, else the newest, None before the first."""
        if self._marked is not None or self.view is None:
            return self._marked
        return next(iter(self.view.stalls), None)

    def title_of(self, view: EngineView, look: Look) -> Text:
        return stalls_title(view, look, self._index(view), self.size.height)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        return draw_stalls(view, self._index(view), width, height, look, watch.wall_offset_s)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide the fix from who may not change anything."""
        return action != "fix" or self.app.check_action("retune", ("budget",))

    def action_move(self, step: int) -> None:
        if self.view is None or not self.view.stalls:
            return
        index = self._index(self.view)
        moved = 0 if index is None else min(max(index + step, 0), len(self.view.stalls) - 1)
        self._mark(self.view.stalls[moved])

    def action_let_go(self) -> None:
        self._mark(None)

    def action_explain(self) -> None:
        if self.marked is not None:
            self.post_message(self.Explained(self.marked))

    def action_fix(self) -> None:
        if self.marked is not None:
            self.post_message(self.FixAsked(self.marked))

    def _mark(self, stall: StallEvent | None) -> None:
        self._marked = stall
        self.repaint()
        self.post_message(self.Marked())

    def _index(self, view: EngineView) -> int | None:
        return view.stalls.index(self._marked) if self._marked in view.stalls else None


class WhyPanel(Panel):
    """Explains one stall beside the feed, where the terminal is wide."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.stall: StallEvent | None = None

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return title("WHY", "", look)

    def explain(self, stall: StallEvent | None) -> None:
        """Show another stall, or none."""
        if stall is not self.stall:
            self.stall = stall
            self.repaint()

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del view, watch
        if self.stall is None:
            return [fit(line([("no stall to explain", look.faint)]), width)]
        return draw_explanation(self.stall, width, look)[:height]
