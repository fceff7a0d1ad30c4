"""The table of requests, one of which can be marked."""

from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message

from sarathictl.state.engine_view import EngineView
from sarathictl.state.request_table import RequestRow
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.requests import draw_requests, requests_title
from sarathictl.tui.widgets.panel import Panel


class RequestsPanel(Panel, can_focus=True):
    """Shows what the daemon holds, oldest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "older", show=False),
        Binding("down", "move(1)", "newer", show=False),
        Binding("enter", "explain", "explain", key_display="enter"),
    ]

    class Explained(Message):
        """Somebody wants to know why a request waits or stalled."""

        def __init__(self, request_id: int) -> None:
            super().__init__()
            self.request_id = request_id

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._marked_id: int | None = None

    @property
    def marked(self) -> RequestRow | None:
        """The marked request, None when none is marked or it has ended."""
        rows = self.view.requests if self.view else ()
        return next((row for row in rows if row.request_id == self._marked_id), None)

    def title_of(self, view: EngineView, look: Look) -> Text:
        return requests_title(view, look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del watch
        return draw_requests(view, self._marked_id, width, height, look)

    def action_explain(self) -> None:
        if self._marked_id is not None:
            self.post_message(self.Explained(self._marked_id))

    def action_move(self, step: int) -> None:
        ids = [row.request_id for row in self.view.requests] if self.view else []
        if not ids:
            return
        moved = min(max(ids.index(self._marked_id) + step, 0), len(ids) - 1) if self._marked_id in ids else 0
        self._marked_id = ids[moved]
        self.repaint()
