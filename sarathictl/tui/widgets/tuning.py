"""The list of revisions, one of which is marked; that one in full; and the audit log."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType
from textual.message import Message

from sarathictl.keymap import Place
from sarathictl.state.engine_view import EngineView
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.line import title
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.tuning import draw_audit, draw_revision, draw_revisions, revisions_title
from sarathictl.tui.widgets.panel import Panel
from sarathid.protocol.revisions import AuditEntry, Revision


class RevisionsPanel(Panel, can_focus=True):
    """Shows every change, newest first."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.CHANGE_LIST)

    class Marked(Message):
        """Another revision is marked."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._history: Sequence[Revision] = ()
        self._marked: int | None = None

    @property
    def marked(self) -> Revision | None:
        """The marked revision, else the newest, None before any is known."""
        found = (revision for revision in self._history if revision.revision == self._marked)
        return next(found, self._history[-1] if self._history else None)

    def see(self, history: Sequence[Revision]) -> None:
        """Take over the revisions, oldest first."""
        self._history = history
        self.repaint()

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return revisions_title(self._history, look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del view, watch
        return draw_revisions(self._history, self.marked.revision if self.marked else None, width, height, look)

    def action_move(self, step: int) -> None:
        if self.marked is not None:
            index = self._history.index(self.marked) + step
            self._mark(self._history[min(max(index, 0), len(self._history) - 1)].revision)

    def action_let_go(self) -> None:
        self._mark(None)

    def _mark(self, number: int | None) -> None:
        self._marked = number
        self.repaint()
        self.post_message(self.Marked())


class RevisionDetail(Panel):
    """Shows the revision that is marked."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._revision: Revision | None = None

    def detail(self, revision: Revision | None) -> None:
        """Show another revision, or none."""
        self._revision = revision
        self.repaint()

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return title("CHANGE", "" if self._revision is None else f"r{self._revision.revision}", look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del view, watch
        return [] if self._revision is None else draw_revision(self._revision, width, height, look)


class AuditPanel(Panel):
    """Shows what the daemon wrote down of changes, its own and those of daemons before it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._entries: Sequence[AuditEntry] = ()

    def see(self, entries: Sequence[AuditEntry]) -> None:
        """Take over the entries, oldest first."""
        self._entries = entries
        self.repaint()

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return title("AUDIT LOG", "newest first", look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del view, watch
        return draw_audit(self._entries, width, height, look)
