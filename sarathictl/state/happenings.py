"""What happened, one line each: changes, stalls, overloads, preemptions, failed requests, and the engine's life."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from sarathictl import units
from sarathictl.state.retuning import budget_in_words
from sarathictl.state.sentences import stall_in_full
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import (
    IterationScheduled,
    IterationStats,
    LifeCycle,
    Overload,
    RequestStats,
    SettingsChanged,
    StallEvent,
    StreamRecord,
)

MAX_HAPPENINGS = 512
_FAILURES = (FinishReason.ERROR, FinishReason.TIMEOUT)

Telling: TypeAlias = IterationStats | LifeCycle | Overload | RequestStats | SettingsChanged | StallEvent


class Kind(StrEnum):
    """What sort of thing happened."""

    CHANGE = "change"
    STALL = "stall"
    SLO = "slo"
    PREEMPT = "preempt"
    ERROR = "error"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Happening:
    """One record that tells of something, and when that was (monotonic seconds)."""

    time_s: float
    kind: Kind
    record: Telling

    @property
    def words(self) -> str:
        """What happened, as a sentence."""
        match self.record:
            case StallEvent():
                return stall_in_full(self.record)
            case SettingsChanged():
                return _change(self.record)
            case Overload():
                return _overload(self.record)
            case LifeCycle():
                return f"{self.record.state}: {units.printable(self.record.message)}"
            case RequestStats():
                return _failure(self.record)
            case IterationStats():
                return _preemption(self.record)


class HappeningLog:
    """The latest happenings but for stalls, which `StallFeed` keeps, in bounded memory."""

    def __init__(self) -> None:
        self._happenings: deque[Happening] = deque(maxlen=MAX_HAPPENINGS)

    def append(self, record: StreamRecord) -> None:
        """Take in a record, if it tells of something that is kept here."""
        happening = happening_of(record)
        if happening is not None and happening.kind is not Kind.STALL:
            self._happenings.append(happening)

    @property
    def oldest_first(self) -> tuple[Happening, ...]:
        return tuple(self._happenings)


def happening_of(record: StreamRecord) -> Happening | None:
    """Return what a record tells of, None for one of the ordinary course of things."""
    match record:
        case IterationStats():  # most are
            return Happening(record.end_s, Kind.PREEMPT, record) if record.preempted else None
        case IterationScheduled():  # and nearly all others
            return None
        case StallEvent():
            return Happening(record.time_s, Kind.STALL, record)
        case SettingsChanged():
            return Happening(record.time_s, Kind.CHANGE, record)
        case Overload():
            return Happening(record.time_s, Kind.SLO, record)
        case LifeCycle():
            return Happening(record.time_s, Kind.ENGINE, record)
        case RequestStats() if record.finish_reason in _FAILURES:
            return Happening(record.finished_s, Kind.ERROR, record)
        case _:
            return None


def newest_first(happenings: Iterable[Happening], stalls: Iterable[StallEvent]) -> list[Happening]:
    """Return happenings and stalls together, the newest first."""
    told = (*happenings, *(Happening(stall.time_s, Kind.STALL, stall) for stall in stalls))
    return sorted(told, key=lambda happening: -happening.time_s)


def _change(record: SettingsChanged) -> str:
    who = f" by {units.printable(record.changed_by)}" if record.changed_by else ""
    why = f": {units.printable(record.reason)}" if record.reason else ""
    tbt, ttft = record.slo.tbt_s, record.slo.ttft_s
    targets = f"TBT target {'off' if tbt is None else units.duration(tbt)}"
    if ttft is not None:
        targets += f", TTFT target {units.duration(ttft)}"
    return f"r{record.revision} budget {budget_in_words(record)}, {record.policy}, {targets}{who}{why}"


def _overload(record: Overload) -> str:
    if not record.is_overloaded:
        return f"the decodes meet the target again: {record.num_decodes} take {units.duration(record.decode_s)}"
    fitting = f"at most {record.most_decodes} fit" if record.most_decodes else "not even one fits"
    return (
        f"{record.num_decodes} decodes alone take {units.duration(record.decode_s)}, "
        f"{units.duration(record.planned_s)} are planned; {fitting}"
    )


def _failure(record: RequestStats) -> str:
    whose = f" of {units.printable(record.client)}" if record.client else ""
    done = units.tokens(record.num_output_tokens)
    return f"request {record.request_id}{whose} ended by {record.finish_reason}, {done} out"


def _preemption(record: IterationStats) -> str:
    return f"preempted {', '.join(_few(record.preempted))}: the KV cache was full"


def _few(request_ids: Iterable[int]) -> Iterator[str]:
    ids = list(request_ids)
    yield from map(str, ids[:6])
    if len(ids) > 6:
        yield f"{len(ids) - 6} more"
