"""The history of the settings: what was in force from when on, by whom, and what became of it."""

from enum import StrEnum

import msgspec

from sarathid.protocol.changes import ChangeOrigin, Figures
from sarathid.protocol.stats import EngineSettings


class RevisionState(StrEnum):
    """What became of a revision; all but the first two say that its values are no longer in force because of it."""

    ON_PROBATION = "on-probation"
    KEPT = "kept"
    EXPIRED = "confirm-expired"
    GUARDED = "guarded"
    UNDONE = "undone"
    REPLACED = "replaced"


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """Settings in force from `iteration` on, and those before them; `time_s` is wall-clock time.

    `probation_s` is for how long after that the change could be taken back, None where it was not on probation;
    `verdict` says in words why it ended. `measured` is what was seen while it was in force, of the first minutes.
    """

    revision: int
    time_s: float
    iteration: int
    changed_by: str
    reason: str
    origin: ChangeOrigin
    old: EngineSettings
    new: EngineSettings
    state: RevisionState
    undoes: int | None = None
    probation_s: float | None = None
    guard: str = ""
    verdict: str = ""
    predicted: Figures | None = None
    measured: Figures | None = None


class AuditEvent(StrEnum):
    """What a line of the audit log tells of a revision."""

    STARTED = "started"
    CHANGED = "changed"
    ENDED = "ended"
    MEASURED = "measured"


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit log: what happened to a revision, when (wall-clock time), by whom, how it stands then."""

    time_s: float
    event: AuditEvent
    by: str
    revision: Revision
