"""The settings in force, how they came to be, and what to put back when a change does not stay."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from sarathid.errors import ControlRefused
from sarathid.protocol.changes import ChangeOrigin, Figures
from sarathid.protocol.control import MAX_REVISIONS, ErrorCode
from sarathid.protocol.revisions import Revision, RevisionState
from sarathid.protocol.slo import BudgetChoice, SLOChange
from sarathid.protocol.stats import EngineSettings, SettingsChanged
from sarathid.slo.guard import GuardWatch

GUARD_S = 60.0

SettingValues: TypeAlias = Mapping[str, Any]
"""Settings by name (`budget`, `policy`, `tbt_s`, `ttft_s`), as an operator chooses them."""

_STATE_AFTER = {
    ChangeOrigin.UNDO: RevisionState.UNDONE,
    ChangeOrigin.EXPIRED: RevisionState.EXPIRED,
    ChangeOrigin.GUARD: RevisionState.GUARDED,
}


def values_of(settings: EngineSettings) -> dict[str, Any]:
    """Return what an operator can set, by name."""
    slo = settings.slo
    return {"budget": settings.budget, "policy": settings.policy, "tbt_s": slo.tbt_s, "ttft_s": slo.ttft_s}


class Retuning(msgspec.Struct, frozen=True, kw_only=True):
    """Other values for some settings; None leaves one as it is."""

    budget: BudgetChoice | None = None
    policy: str | None = None
    slo: SLOChange | None = None

    @classmethod
    def to(cls, values: SettingValues) -> "Retuning":
        """Return the change that gives the named settings these values."""
        targets = {name: values[name] for name in ("tbt_s", "ttft_s") if name in values}
        slo = msgspec.convert(targets, SLOChange) if targets else None
        return cls(budget=values.get("budget"), policy=values.get("policy"), slo=slo)

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that it names, as in `values_of`."""
        chosen = [name for name in ("budget", "policy") if getattr(self, name) is not None]
        return (*chosen, *(msgspec.to_builtins(self.slo) if self.slo is not None else ()))

    def applied_to(self, settings: EngineSettings) -> EngineSettings:
        """Return the settings after it, as far as they can be told without the engine: it chooses a profiled budget."""
        slo = None if self.slo is None else self.slo.applied_to(settings.slo)
        return settings.changed(self.budget, self.policy, slo)


@dataclass(slots=True)
class Probation:
    """A revision that may still be taken back: the settings it changed that nobody has changed since.

    It ends at `ends_s` (monotonic): what has to be kept goes back, what is only guarded stays.
    """

    revision: int
    names: set[str]
    ends_s: float
    must_be_kept: bool
    watch: GuardWatch
    is_ending: bool = False


class Revisions:
    """Every setting belongs to at most one probation, the latest that changed it; so there are few.

    `settled` are the values that stay: those in force, and for a setting on probation the one that comes back.
    """

    def __init__(self, settings: EngineSettings, wall_s: float) -> None:
        """Begin with the settings that the engine started with."""
        start = Revision(
            revision=settings.revision,
            time_s=wall_s,
            iteration=0,
            changed_by="",
            reason="",
            origin=ChangeOrigin.START,
            old=settings,
            new=settings,
            state=RevisionState.KEPT,
        )
        self.settled = values_of(settings)
        self._revisions = {start.revision: start}
        self._probations: dict[int, Probation] = {}

    @property
    def newest(self) -> Revision:
        return self._revisions[max(self._revisions)]

    @property
    def probations(self) -> tuple[Probation, ...]:
        return tuple(self._probations.values())

    def since(self, number: int) -> tuple[Revision, ...]:
        """Return the revisions from a number on, oldest first."""
        return tuple(revision for revision in self._revisions.values() if revision.revision >= number)

    def record(self, changed: SettingsChanged, wall_s: float, watch: GuardWatch) -> tuple[Revision, ...]:
        """Take in a change that the engine has put in force; return it, and the revisions that it ended."""
        old, new = self.newest.new, changed.settings
        before, after = values_of(old), values_of(new)
        names = {name for name in after if after[name] != before[name]} | set(changed.names)
        probation_s = changed.confirm_s or (GUARD_S if changed.guard else None)
        ended = tuple(self._end_by(changed, names))
        revision = Revision(
            revision=new.revision,
            time_s=wall_s,
            iteration=changed.iteration,
            changed_by=changed.changed_by,
            reason=changed.reason,
            origin=changed.origin,
            old=old,
            new=new,
            state=RevisionState.KEPT if probation_s is None else RevisionState.ON_PROBATION,
            undoes=changed.undoes,
            probation_s=probation_s,
            guard=changed.guard,
            predicted=changed.predicted,
        )
        self._add(revision)
        if probation_s is not None:
            ends_s = changed.time_s + probation_s
            self._probations[new.revision] = Probation(
                new.revision, names, ends_s, changed.confirm_s is not None, watch
            )
        else:
            self.settled.update({name: after[name] for name in names})
        return (revision, *ended)

    def keep(self, number: int | None) -> Revision:
        """End a probation for good, by default the latest, and return the revision.

        Raises `ControlRefused` when it is not on probation or is being taken back.
        """
        number = max(self._probations, default=None) if number is None else number
        probation = None if number is None else self._probations.get(number)
        if probation is None or number is None:
            words = "no revision is" if number is None else f"revision {number} is not"
            raise ControlRefused(ErrorCode.NOT_FOUND, f"{words} on probation", "`sarathictl history` shows which are")
        if probation.is_ending:
            raise ControlRefused(ErrorCode.CONFLICT, f"revision {number} is being taken back")
        del self._probations[number]
        in_force = values_of(self.newest.new)
        self.settled.update({name: in_force[name] for name in probation.names})
        return self._become(number, RevisionState.KEPT)

    def reversal(self, number: int) -> Retuning:
        """Return the change that takes a revision back.

        Raises `ControlRefused` when it is not known, changed nothing, or what it changed has been changed again.
        """
        if (probation := self._probations.get(number)) is not None:
            return Retuning.to({name: self.settled[name] for name in probation.names})
        found = self.find(number)
        before, after, in_force = values_of(found.old), values_of(found.new), values_of(self.newest.new)
        names = [name for name in after if after[name] != before[name]]
        if not names or found.state is not RevisionState.KEPT or any(in_force[name] != after[name] for name in names):
            raise ControlRefused(
                ErrorCode.CONFLICT,
                f"what revision {number} changed is no longer in force"
                if names
                else f"revision {number} changed nothing",
                "`sarathictl history` shows what came after it",
            )
        return Retuning.to({name: before[name] for name in names})

    def last_asked(self) -> int:
        """Return the latest revision that somebody asked for and whose change stands.

        Raises `ControlRefused` without one.
        """
        for number, revision in reversed(self._revisions.items()):
            has_changed = revision.state is RevisionState.KEPT and values_of(revision.old) != values_of(revision.new)
            if revision.origin is ChangeOrigin.ASKED and (has_changed or number in self._probations):
                return number
        raise ControlRefused(ErrorCode.NOT_FOUND, "there is no change to undo", "`sarathictl history` shows them")

    def check_newest(self, if_revision: int | None) -> int:
        """Return the number of the newest revision; raises `ControlRefused` when another one is expected."""
        newest = self.newest.revision
        if if_revision not in (None, newest):
            raise ControlRefused(ErrorCode.CONFLICT, f"the settings are at revision {newest}, not {if_revision}")
        return newest

    def measure(self, number: int, measured: Figures) -> Revision:
        """Note what was seen while a revision, the newest until now, was in force, and return it."""
        self._revisions[number] = msgspec.structs.replace(self._revisions[number], measured=measured)
        return self._revisions[number]

    def find(self, number: int) -> Revision:
        """Return a revision; raises `ControlRefused` when it is not known."""
        if number not in self._revisions:
            raise ControlRefused(
                ErrorCode.NOT_FOUND, f"there is no revision {number}", f"the latest {MAX_REVISIONS} are known"
            )
        return self._revisions[number]

    def _add(self, revision: Revision) -> None:
        self._revisions[revision.revision] = revision
        if len(self._revisions) > MAX_REVISIONS:
            del self._revisions[min(set(self._revisions) - set(self._probations))]

    def _end_by(self, changed: SettingsChanged, names: set[str]) -> Iterator[Revision]:
        """End what the change takes back, and the probations of which it leaves nothing in force."""
        if changed.undoes is not None:
            self._probations.pop(changed.undoes, None)
            if changed.undoes in self._revisions:
                yield self._become(changed.undoes, _STATE_AFTER[changed.origin], changed.reason)
        for probation in self.probations:
            probation.names -= names
            if not probation.names:
                del self._probations[probation.revision]
                verdict = f"replaced by revision {changed.revision}"
                yield self._become(probation.revision, RevisionState.REPLACED, verdict)

    def _become(self, number: int, state: RevisionState, verdict: str = "") -> Revision:
        self._revisions[number] = msgspec.structs.replace(self._revisions[number], state=state, verdict=verdict)
        return self._revisions[number]
