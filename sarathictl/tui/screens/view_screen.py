"""What the numbered screens share: header, panels and keys, shown anew as views come."""

from abc import abstractmethod
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen

from sarathictl.client.fleet import Answer
from sarathictl.client.stats_stream import LinkState
from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.widgets.bars import BigWords, HeaderBar
from sarathictl.tui.widgets.change import ChangeBar
from sarathictl.tui.widgets.key_bar import KeyBar
from sarathictl.tui.widgets.panel import Panel
from sarathictl.tui.widgets.transport import TransportBar
from sarathid.protocol.revisions import AuditEntry, Revision
from sarathid.tape.request_table import RequestRow


class ViewScreen(Screen[None]):
    """Shows views as they come: what moves at every one, figures once a second so that digits can be read.

    `command` is the command, without the program's name, that prints the same.
    """

    shows_audit = False
    shows_fleet = False
    command = "top"

    def __init__(self, *, moving: Sequence[Panel] = (), figures: Sequence[Panel] = ()) -> None:
        super().__init__()
        self._header = HeaderBar(id="header")
        self._big_words = BigWords(id="big-words")
        self.change = ChangeBar(id="change")
        self._keys = KeyBar()
        self._transport = TransportBar(id="transport")
        self._moving = (self._transport, *moving)
        self._figures = (self._header, self._big_words, self.change, *figures)
        self._second: int | None = None
        self.latest: tuple[EngineView, Watch, Look] | None = None

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._big_words
        with Container(id="panels"):
            yield from self.compose_panels()
        yield self._transport
        yield self._keys

    @abstractmethod
    def compose_panels(self) -> ComposeResult:
        """Yield what stands between header and footer, the line on the newest change among it."""

    @property
    def marked_request(self) -> RequestRow | None:
        """The request that is marked, None where none can be."""
        return None

    def see_history(self, history: Sequence[Revision]) -> None:
        """Show how the newest revision stands, once anything was changed."""
        self.change.history = history
        self.change.repaint()
        self.set_class(len(history) > 1, "-changed")

    def see_followed(self, request_ids: frozenset[int]) -> None:
        """Take note of the requests that somebody follows; most screens list none."""

    def see_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Take note of the audit log; most screens show nothing of it."""

    def see_fleet(self, answers: Sequence[Answer]) -> None:
        """Take note of what several daemons say of themselves; most screens show nothing of it."""

    def see_twin(self, view: EngineView) -> None:
        """Take note of what would have been under other settings; most screens show nothing of it."""

    def show(self, view: EngineView, watch: Watch, look: Look, *, is_urgent: bool = False) -> None:
        """Show a view; figures wait for the next second of the clock unless the change `is_urgent`."""
        self.latest = (view, watch, look)
        self._keys.look = look
        self.set_class(watch.transport is not None, "-elsewhere")
        self._show_in(self._moving)
        second = int(watch.now_s + watch.wall_offset_s)
        if is_urgent or second != self._second:
            self._second = second
            self.set_class(watch.link.state not in (LinkState.LIVE, LinkState.RECORDED), "-cut-off")
            self.show_figures()

    def show_figures(self) -> None:
        """Show the view in the panels that wait for their second."""
        self._show_in(self._figures)

    def _show_in(self, panels: Sequence[Panel]) -> None:
        assert self.latest is not None
        view, watch, look = self.latest
        for panel in panels:
            panel.show(view, watch, look)
