"""The revisions as the daemon last told them, and when to ask again."""

from sarathid.protocol.revisions import Revision, RevisionState

ASK_EVERY_S = 1.0


class KnownHistory:
    """Goes stale when the stream shows another revision, and each second while one is on probation."""

    def __init__(self) -> None:
        self.revisions: tuple[Revision, ...] = ()
        self._asked: tuple[int, float] | None = None

    def is_due(self, revision: int, now_s: float) -> bool:
        """Return whether to ask now, with this revision in force; the next question is due at the earliest later."""
        if self._asked is not None and not self._is_stale(self._asked, revision, now_s):
            return False
        self._asked = (revision, now_s)
        return True

    def forget(self) -> None:
        """Have it asked for again."""
        self._asked = None

    def _is_stale(self, asked: tuple[int, float], revision: int, now_s: float) -> bool:
        asked_revision, asked_s = asked
        is_settled = bool(self.revisions) and self.revisions[-1].state is not RevisionState.ON_PROBATION
        return revision != asked_revision or (not is_settled and now_s - asked_s >= ASK_EVERY_S)
