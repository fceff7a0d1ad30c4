"""Changes of the settings while the daemon runs: made, watched, taken back, kept, measured and written down."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from sarathid.clock import Clock
from sarathid.engine.client import EngineClient
from sarathid.errors import ControlRefused
from sarathid.protocol.changes import ChangeNote, ChangeOrigin
from sarathid.protocol.control import (
    MAX_AUDIT_ENTRIES,
    AuditTrail,
    ChangeRequest,
    ErrorCode,
    GetAudit,
    History,
    Kept,
    Retuned,
    SetBudget,
    SetPolicy,
    SetSLO,
    Undo,
)
from sarathid.protocol.revisions import AuditEntry, AuditEvent, Revision
from sarathid.protocol.stats import EngineSettings, IterationStats, SettingsChanged, StreamRecord
from sarathid.server.kept_settings import KeptSettings, texts_of
from sarathid.slo.guard import GuardWatch, parse_guard
from sarathid.slo.revisions import Probation, Retuning, Revisions, values_of
from sarathid.telemetry.audit_log import AuditLog
from sarathid.telemetry.board import Board
from sarathid.telemetry.revision_figures import RevisionFigures

LOOK_EVERY_S = 1.0
MEASURE_S = 300.0
DAEMON = "daemon"

log = logging.getLogger(__name__)


class Retuner:
    """Everything that becomes of a change happens on the event loop, in the order in which the engine answers.

    `kept_names` are the settings that `store` gave this daemon to begin with. `wall_s` gives wall-clock time.
    """

    def __init__(
        self,
        engine: EngineClient,
        board: Board,
        audit: AuditLog,
        store: KeptSettings,
        kept_names: frozenset[str],
        clock: Clock,
        wall_s: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._board = board
        self._audit = audit
        self._store = store
        self._kept_names = kept_names
        self._clock = clock
        self._wall_s = wall_s
        self._revisions: Revisions | None = None
        self._start_texts: dict[str, str] = {}
        self._stored_texts: dict[str, str] = {}
        self._measuring: RevisionFigures | None = None

    def begin(self, settings: EngineSettings) -> None:
        """Take note of the settings that the first engine came up with; those of later engines are the same."""
        if self._revisions is None:
            self._revisions = Revisions(settings, self._wall_s())
            self._start_texts = texts_of(values_of(settings))
            self._stored_texts = self._texts_to_keep()
            self._measuring = RevisionFigures(settings, self._clock.now_s(), MEASURE_S)
            self._write(AuditEvent.STARTED, self._revisions.newest, DAEMON)

    async def run(self) -> None:
        """Watch over probations until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def change(self, op: ChangeRequest, peer: str) -> Retuned:
        """Do what `op` asks for `peer`, and return what it changed; raises `ControlRefused`."""
        revisions, if_revision, undoes = self._known(), op.if_revision, None
        if isinstance(op, Undo):
            undoes = revisions.last_asked() if op.revision is None else op.revision
            check_owner(revisions.find(undoes), peer, is_meant=op.force)
            if_revision = revisions.check_newest(op.if_revision)
        retuning = retuning_of(op) if undoes is None else revisions.reversal(undoes)
        self._check_guard(op.guard)
        if op.dry_run:
            return self._preview(retuning, if_revision)
        note = ChangeNote(
            changed_by=peer,
            names=retuning.names,
            reason=op.reason,
            origin=ChangeOrigin.ASKED if undoes is None else ChangeOrigin.UNDO,
            undoes=undoes,
            confirm_s=op.confirm_s,
            guard=op.guard,
            predicted=op.predicted,
        )
        return await self._apply(retuning, if_revision, note)

    def keep(self, number: int | None, peer: str) -> Kept:
        """End a revision's probation, by default the latest's: it stays; raises `ControlRefused` without one."""
        return Kept(revision=self._end_well(number, peer).revision)

    def history(self, since_revision: int) -> History:
        """Return the revisions from a number on, oldest first."""
        return History(revisions=self._known().since(since_revision))

    async def audit(self, op: GetAudit) -> AuditTrail:
        """Return what the audit log says, read in a thread of its own."""
        try:
            return await asyncio.to_thread(self._read_audit, op)
        except OSError as error:
            raise ControlRefused(ErrorCode.UNAVAILABLE, f"the audit log can't be read: {error}") from error

    def observe(self, record: StreamRecord) -> None:
        """Take in what the engine says of its settings and of what it does under them."""
        match record:
            case SettingsChanged():
                self._record(record)
            case IterationStats() if self._measuring is not None:
                self._measuring.observe(record)

    async def look(self) -> None:
        """Take back or keep what is due, and note what was measured; to be called every second."""
        now_s = self._clock.now_s()
        if self._measuring is not None and now_s >= self._measuring.until_s:
            self._end_measuring()
        for probation in () if self._revisions is None else self._revisions.probations:
            if probation in self._known().probations:  # another one's end may have ended it
                await self._look_at(probation, now_s)

    def _known(self) -> Revisions:
        if self._revisions is None:
            raise ControlRefused(ErrorCode.UNAVAILABLE, "the engine is not ready", "ask again when it is")
        return self._revisions

    def _check_guard(self, guard: str) -> None:
        """Raise `ControlRefused` when the guard can't be read, or when nothing of it holds that could turn."""
        values = self._board.recent.by_metric(self._clock.now_s())
        objectives = parse_guard(guard)
        if GuardWatch(objectives, values).is_vain:
            failures = "; ".join(objective.failure(values) for objective in objectives)
            raise ControlRefused(
                ErrorCode.GUARD,
                f"the guard is broken before the change: {failures}",
                "it could not tell what the change does: name bounds that hold now",
            )

    def _preview(self, retuning: Retuning, if_revision: int | None) -> Retuned:
        self._engine.check_change(
            budget=retuning.budget, policy=retuning.policy, slo=retuning.slo, if_revision=if_revision
        )
        old = self._known().newest.new
        return Retuned(old=old, new=retuning.applied_to(old), iteration=None)

    async def _apply(self, retuning: Retuning, if_revision: int | None, note: ChangeNote) -> Retuned:
        applied = await self._engine.change_settings(
            budget=retuning.budget, policy=retuning.policy, slo=retuning.slo, if_revision=if_revision, note=note
        )
        return Retuned(old=applied.old, new=applied.new, iteration=applied.iteration)

    def _record(self, changed: SettingsChanged) -> None:
        watch = GuardWatch(parse_guard(changed.guard), self._board.recent.by_metric(changed.time_s))
        self._end_measuring()
        revision, *ended = self._known().record(changed, self._wall_s(), watch)
        self._measuring = RevisionFigures(revision.new, changed.time_s, MEASURE_S)
        self._write(AuditEvent.CHANGED, revision, changed.changed_by)
        for earlier in ended:
            self._write(AuditEvent.ENDED, earlier, changed.changed_by)
        self._keep_settled()

    async def _look_at(self, probation: Probation, now_s: float) -> None:
        values = self._board.recent.by_metric(now_s)
        broken = probation.watch.look(values)
        if broken is not None:
            await self._take_back(probation, ChangeOrigin.GUARD, broken.failure(values))
        elif now_s >= probation.ends_s and probation.must_be_kept:
            await self._take_back(probation, ChangeOrigin.EXPIRED, "nobody kept it in time")
        elif now_s >= probation.ends_s:
            self._end_well(probation.revision, DAEMON)

    async def _take_back(self, probation: Probation, origin: ChangeOrigin, reason: str) -> None:
        """Put back what a revision on probation replaced; when that is not possible now, the next look tries again."""
        revisions, number = self._known(), probation.revision
        retuning = revisions.reversal(number)
        note = ChangeNote(changed_by=DAEMON, names=retuning.names, reason=reason, origin=origin, undoes=number)
        probation.is_ending = True
        try:
            await self._apply(retuning, revisions.newest.revision, note)
        except ControlRefused as refused:
            log.info("revision %d is not taken back yet: %s", number, refused)
        finally:
            probation.is_ending = False

    def _end_well(self, number: int | None, by: str) -> Revision:
        revision = self._known().keep(number)
        self._write(AuditEvent.ENDED, revision, by)
        self._keep_settled()
        return revision

    def _end_measuring(self) -> None:
        """Write down what was seen under the newest revision, if anything was."""
        measuring, self._measuring = self._measuring, None
        measured = None if measuring is None else measuring.summary(self._clock.now_s())
        if measuring is not None and measured is not None:
            self._write(AuditEvent.MEASURED, self._known().measure(measuring.revision, measured), DAEMON)

    def _keep_settled(self) -> None:
        texts = self._texts_to_keep()
        if texts != self._stored_texts:
            self._stored_texts = texts
            self._store.write(texts)

    def _texts_to_keep(self) -> dict[str, str]:
        """Return the settings that stay and that a daemon would not have by itself."""
        texts = texts_of(self._known().settled)
        return {
            name: text for name, text in texts.items() if name in self._kept_names or text != self._start_texts[name]
        }

    def _write(self, event: AuditEvent, revision: Revision, by: str) -> None:
        self._audit.append(AuditEntry(time_s=self._wall_s(), event=event, by=by, revision=revision))

    def _read_audit(self, op: GetAudit) -> AuditTrail:
        latest: deque[AuditEntry] = deque(maxlen=MAX_AUDIT_ENTRIES)
        num_found = 0
        for entry in self._audit.read(lambda entry: entry.time_s >= op.since_s and is_by(entry, op.by)):
            num_found += 1
            latest.append(entry)
        return AuditTrail(entries=tuple(latest), num_left_out=num_found - len(latest))


def retuning_of(op: ChangeRequest) -> Retuning:
    """Return what an operation sets."""
    match op:
        case SetBudget(budget=budget):
            return Retuning(budget=budget)
        case SetPolicy(policy=policy):
            return Retuning(policy=policy)
        case SetSLO(slo=slo):
            return Retuning(slo=slo)
    raise AssertionError(f"{op} sets nothing")


def check_owner(revision: Revision, peer: str, *, is_meant: bool) -> None:
    """Raise `ControlRefused` when a peer takes back another user's change, unless that is meant."""
    if revision.origin is ChangeOrigin.ASKED and uid_of(revision.changed_by) != uid_of(peer) and not is_meant:
        raise ControlRefused(
            ErrorCode.NOT_PERMITTED, f"revision {revision.revision} is by {revision.changed_by}", "say --yes to undo it"
        )


def is_by(entry: AuditEntry, who: str) -> bool:
    """Return whether an entry is of the user with that id, or of somebody whose label holds that text."""
    return uid_of(entry.by) == who if who.isdecimal() else who in entry.by


def uid_of(label: str) -> str:
    """Return the user's id that a peer's label begins with."""
    return label.partition("/")[0]
