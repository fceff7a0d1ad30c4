"""The tuning screen: every change, what was said of the marked one against what came, and the audit log."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container

from sarathictl.tui.screens.view_screen import ViewScreen
from sarathictl.tui.widgets.tuning import AuditPanel, RevisionDetail, RevisionsPanel
from sarathid.protocol.revisions import AuditEntry, Revision


class TuningScreen(ViewScreen):
    """Marks the newest revision until somebody marks another."""

    CSS_PATH = "lists.tcss"
    command = "history"
    AUTO_FOCUS = "#revisions"
    shows_audit = True

    def __init__(self) -> None:
        self._revisions = RevisionsPanel(id="revisions")
        self._detail = RevisionDetail(id="revision")
        self._audit = AuditPanel(id="audit")
        super().__init__(figures=(self._revisions, self._detail, self._audit))

    def compose_panels(self) -> ComposeResult:
        with Container(id="pair"):
            yield self._revisions
            yield self._detail
        yield self.change
        yield self._audit

    def see_history(self, history: Sequence[Revision]) -> None:
        super().see_history(history)
        self._revisions.see(history)
        self._detail.detail(self._revisions.marked)

    def see_audit(self, entries: Sequence[AuditEntry]) -> None:
        self._audit.see(entries)

    def on_revisions_panel_marked(self) -> None:
        self._detail.detail(self._revisions.marked)
