"""The table of requests, one of which can be marked."""

from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.message import Message

from sarathictl import units
from sarathictl.keymap import Place
from sarathictl.state.engine_view import EngineView
from sarathictl.state.request_order import RequestOrder, SortKey
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.requests import NOTHING_LIVE, NOTHING_RECORDED, draw_requests, requests_title
from sarathictl.tui.widgets.panel import Panel
from sarathid.tape.request_table import RequestRow


class RequestsPanel(Panel, can_focus=True):
    """Shows what the daemon holds, oldest first."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.REQUEST_LIST)

    class Explained(Message):
        """Somebody wants to know why a request waits or stalled."""

        def __init__(self, request_id: int) -> None:
            super().__init__()
            self.request_id = request_id

    class FollowAsked(Message):
        """Somebody wants to follow a request, or to let go of it."""

        def __init__(self, request_id: int) -> None:
            super().__init__()
            self.request_id = request_id

    class Marked(Message):
        """Another request is marked, or the marked one has changed; None when it has ended."""

        def __init__(self, row: RequestRow | None) -> None:
            super().__init__()
            self.row = row

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._marked_id: int | None = None
        self._order = RequestOrder()
        self._followed: frozenset[int] = frozenset()

    @property
    def marked(self) -> RequestRow | None:
        """The marked request, None when none is marked or it has ended."""
        return next((row for row in self._rows if row.request_id == self._marked_id), None)

    @property
    def order(self) -> RequestOrder:
        """Which requests are shown, and in which order."""
        return self._order

    def mark_one(self) -> None:
        """Mark the first request unless one is marked."""
        if self.marked is None and self._rows:
            self._mark(self._rows[0].request_id)
        else:
            self.post_message(self.Marked(self.marked))

    def sort_by_next(self) -> None:
        """Sort by another column."""
        keys = list(SortKey)
        self._reorder(replace(self._order, key=keys[(keys.index(self._order.key) + 1) % len(keys)]))

    def reverse(self) -> None:
        """Turn the order round."""
        self._reorder(replace(self._order, is_reversed=not self._order.is_reversed))

    def filter_by(self, text: str) -> None:
        """Show only what passes a filter that can be read."""
        self._reorder(replace(self._order, filter_text=text))

    def follow(self, request_ids: frozenset[int]) -> None:
        """Keep these requests on top, whatever the order and the filter are."""
        self._followed = request_ids
        self.repaint()

    def title_of(self, view: EngineView, look: Look) -> Text:
        heading = requests_title(view, look)
        return heading if self._order == RequestOrder() else Text.assemble(heading, f" · {self._order}")

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        chosen = replace(view, requests=self._rows)
        nothing = self._nothing(view, watch)
        return draw_requests(chosen, self._marked_id, width, height, look, followed=self._followed, nothing=nothing)

    def action_explain(self) -> None:
        if self._marked_id is not None:
            self.post_message(self.Explained(self._marked_id))

    def action_follow(self) -> None:
        if self.marked is not None:
            self.post_message(self.FollowAsked(self.marked.request_id))

    def action_move(self, step: int) -> None:
        ids = [row.request_id for row in self._rows]
        if ids:
            moved = min(max(ids.index(self._marked_id) + step, 0), len(ids) - 1) if self._marked_id in ids else 0
            self._mark(ids[moved])

    def _nothing(self, view: EngineView, watch: Watch) -> str:
        """Return why no request is listed, if none is."""
        if view.requests:
            return f"none of {units.number_of('request', len(view.requests))} passes the filter; esc shows all"
        return NOTHING_LIVE if watch.transport is None else NOTHING_RECORDED

    @property
    def _rows(self) -> tuple[RequestRow, ...]:
        if self.view is None:
            return ()
        followed = [row for row in self.view.requests if row.request_id in self._followed]
        others = [row for row in self._order.applied_to(self.view.requests) if row not in followed]
        return (*followed, *others)

    def _mark(self, request_id: int) -> None:
        self._marked_id = request_id
        self.repaint()
        self.post_message(self.Marked(self.marked))

    def _reorder(self, order: RequestOrder) -> None:
        self._order = order
        self.repaint()
