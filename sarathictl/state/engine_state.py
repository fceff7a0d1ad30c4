"""The engine as its records tell it: a fold, seeded by a snapshot, in bounded memory."""

from collections import Counter, deque
from collections.abc import Iterable
from typing import TypeAlias, assert_never

import msgspec

from sarathictl.state.engine_view import EngineView, LatencyFigures
from sarathictl.state.happenings import HappeningLog
from sarathictl.state.latencies import figures_of
from sarathictl.state.request_table import RequestTable
from sarathictl.state.stall_feed import StallFeed
from sarathictl.state.window import IterationWindow, sample_of
from sarathid.histogram import LatencyWindow
from sarathid.protocol.control import DaemonState, RequestList, RequestState, RequestStatus, Snapshot
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import (
    EngineInfo,
    EngineSettings,
    Heartbeat,
    IterationScheduled,
    IterationStats,
    LifeCycle,
    Overload,
    RequestArrival,
    RequestStats,
    SettingsChanged,
    StallEvent,
    StreamRecord,
)

TBT_SPANS_S = (10.0, 60.0, 300.0, 3600.0)
TTFT_SPAN_S = 300.0
RATE_SPAN_S = 10.0
STALL_SPAN_S = 60.0
MAX_CHANGES = 64
MAX_RECENT = 256

_Timed: TypeAlias = IterationStats | StallEvent | Overload | SettingsChanged | LifeCycle


class EngineState:
    """Folds records one at a time; the same records give the same views however they were split.

    Records that were folded before (an iteration no newer than the last) change nothing, so a
    snapshot and the stream may overlap.
    """

    def __init__(self) -> None:
        self._daemon_state = ""
        self._message = ""
        self._info: EngineInfo | None = None
        self._settings: EngineSettings | None = None
        self._running: IterationScheduled | None = None
        self._last: IterationStats | None = None
        self._counts = (0, 0, 0)
        self._blocks = (0, 0)
        self._iterations = IterationWindow()
        self._recent: deque[IterationStats] = deque(maxlen=MAX_RECENT)
        self._tbt = tuple(LatencyWindow(span_s) for span_s in TBT_SPANS_S)
        self._ttft = LatencyWindow(TTFT_SPAN_S)
        self._stalls = StallFeed()
        self._happenings = HappeningLog()
        self._changes: deque[SettingsChanged] = deque(maxlen=MAX_CHANGES)
        self._requests = RequestTable()

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot, now_s: float) -> "EngineState":
        """Return the state that everything in a snapshot, taken at `now_s`, amounts to."""
        state = cls()
        status = snapshot.status
        state._info = status.engine
        state._settings = status.settings
        for record in sorted((*snapshot.iterations, *snapshot.events), key=_time_of):
            state.fold(record)
        state._settings = status.settings
        state._daemon_state = status.state
        state._blocks = (status.num_blocks_used, status.num_blocks_free)
        state.replace_requests(snapshot.requests, now_s)
        return state

    @property
    def revision(self) -> int | None:
        """The revision of the settings in force, None before any are known."""
        return self._settings.revision if self._settings else None

    def after(self, item: Snapshot | RequestList | StreamRecord, time_s: float) -> "EngineState":
        """Return the state once something that was read at `time_s` is taken in; a snapshot starts a new one."""
        match item:
            case Snapshot():
                return EngineState.from_snapshot(item, time_s)
            case RequestList():
                self.replace_requests(item.requests, time_s)
            case _:
                self.fold(item)
        return self

    def replace_requests(self, requests: Iterable[RequestStatus], now_s: float) -> None:
        """Take over a list of all requests, asked for at `now_s`."""
        self._requests.replace_all(requests, now_s)
        states = Counter(row.state for row in self._requests.rows)
        num_running = states[RequestState.PREFILL] + states[RequestState.DECODE]
        self._counts = (num_running, states[RequestState.WAITING], states[RequestState.PREEMPTED])

    def fold(self, record: StreamRecord) -> None:
        """Take in one record."""
        self._happenings.append(record)
        match record:
            case IterationScheduled():
                self._fold_scheduled(record)
            case IterationStats():
                self._fold_iteration(record)
            case StallEvent():
                self._stalls.append(record)
                self._requests.count_stalls(record)
            case RequestArrival():
                self._requests.arrive(record)
            case RequestStats():
                self._requests.drop(record.request_id)
            case Overload():
                pass  # the plan of each iteration tells
            case SettingsChanged():
                self._fold_settings(record)
            case LifeCycle():
                self._fold_life_cycle(record)
            case Heartbeat():
                self._daemon_state = record.state
            case _:
                assert_never(record)

    def view(self, now_s: float) -> EngineView:
        """Return what there is to see at `now_s`; changes nothing."""
        num_running, num_waiting, num_preempted = self._counts
        num_blocks_used, num_blocks_free = self._blocks
        return EngineView(
            now_s=now_s,
            daemon_state=self._daemon_state,
            message=self._message,
            info=self._info,
            settings=self._settings,
            running=self._running,
            samples=self._iterations.samples,
            recent=tuple(self._recent),
            stalls=self._stalls.newest_first,
            changes=tuple(reversed(self._changes)),
            happenings=self._happenings.oldest_first,
            requests=self._requests.rows,
            num_running=num_running,
            num_waiting=num_waiting,
            num_preempted=num_preempted,
            num_blocks_used=num_blocks_used,
            num_blocks_free=num_blocks_free,
            tbt=tuple(_figures(window, now_s) for window in self._tbt),
            ttft=_figures(self._ttft, now_s),
            num_recent_stalls=self._stalls.num_since(now_s - STALL_SPAN_S),
            attainment=self._iterations.attainment(now_s, STALL_SPAN_S),
            output_rate=self._iterations.output_rate(now_s, RATE_SPAN_S),
            kv_growth=self._iterations.kv_growth(now_s, RATE_SPAN_S),
        )

    def _fold_scheduled(self, record: IterationScheduled) -> None:
        if self._last is None or record.start_s > self._last.start_s:
            self._running = record

    def _fold_iteration(self, record: IterationStats) -> None:
        if self._last is not None and record.start_s <= self._last.start_s:
            return
        self._last = record
        if self._running is not None and self._running.start_s <= record.start_s:
            self._running = None
        self._adopt_settings(record)
        self._recent.append(record)
        self._iterations.append(sample_of(record, self._target_s))
        self._fold_latencies(record)
        self._counts = (record.num_running, record.num_waiting, record.num_preempted)
        self._blocks = (record.num_blocks_used, record.num_blocks_free)
        self._requests.fold(record)

    def _fold_latencies(self, record: IterationStats) -> None:
        end_s = record.end_s
        for window in self._tbt:
            for gap in record.gaps:
                window.add(end_s, gap.tbt_s)
        for first in record.first_tokens:
            self._ttft.add(end_s, first.ttft_s)

    def _adopt_settings(self, record: IterationStats) -> None:
        """Follow a retuning whose own record was lost on the way."""
        if self._settings is not None and record.revision > self._settings.revision:
            token_budget = record.token_budget if record.plan is None else self._settings.token_budget
            self._settings = msgspec.structs.replace(
                self._settings, revision=record.revision, policy=record.policy, token_budget=token_budget
            )

    def _fold_settings(self, record: SettingsChanged) -> None:
        self._changes.append(record)
        self._settings = record.settings

    def _fold_life_cycle(self, record: LifeCycle) -> None:
        self._daemon_state = record.state
        self._message = record.message
        if record.state in (DaemonState.STARTING, DaemonState.RESTARTING):
            self._running = None

    @property
    def _target_s(self) -> float | None:
        return (self._settings.slo if self._settings else SLO()).tbt_s


def _figures(window: LatencyWindow, now_s: float) -> LatencyFigures:
    return figures_of(window.histogram(now_s), window.window_s)


def _time_of(record: _Timed) -> float:
    return record.end_s if isinstance(record, IterationStats) else record.time_s
