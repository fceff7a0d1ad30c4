"""The engine as its records tell it: a fold over them, in bounded memory."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import assert_never

import msgspec

from sarathictl.state.engine_view import EngineView
from sarathictl.state.happenings import HappeningLog
from sarathictl.state.latencies import figures_of
from sarathictl.state.seconds import SecondFigures, SecondsWindow
from sarathictl.state.stall_feed import StallFeed
from sarathictl.state.window import IterationSample, sample_of
from sarathid.protocol.control import DaemonState, RequestState, RequestStatus, Snapshot, Status
from sarathid.protocol.gpus import GPUStatus
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import (
    Event,
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
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.request_table import RequestRow, RequestTable

TBT_SPANS_S = (10.0, 60.0, 300.0, 3600.0)
TTFT_SPAN_S = 300.0
RATE_SPAN_S = 10.0
STALL_SPAN_S = 60.0
ATTAINMENT_STEP_S = 6
NUM_ATTAINMENTS = 10
MAX_SAMPLES = 4096
MAX_CHANGES = 64
MAX_RECENT = 256


class EngineState:
    """Folds records one at a time; the same records give the same views however they were split.

    Records that were folded before (an iteration no newer than the last) change nothing, so a
    snapshot and the stream may overlap.
    """

    def __init__(self, key: KeyFrame | None = None, seconds: Iterable[SecondFigures] = ()) -> None:
        """Begin where `key` says, with what the seconds before it amounted to."""
        key = key or KeyFrame(time_s=0.0)
        self._daemon_state = key.daemon_state
        self._message = key.message
        self._info = key.info
        self._settings = key.settings
        self._running = key.running
        self._last_start_s = key.last_start_s
        self._last_event_s = key.time_s
        self._blocks = (key.num_blocks_used, key.num_blocks_free)
        self._requests = RequestTable(key.requests)
        self._gpus: tuple[GPUStatus, ...] = ()
        self._seconds = SecondsWindow(seconds)
        self._samples: deque[IterationSample] = deque(maxlen=MAX_SAMPLES)
        self._recent: deque[IterationStats] = deque(maxlen=MAX_RECENT)
        self._stalls = StallFeed()
        self._happenings = HappeningLog()
        self._changes: deque[SettingsChanged] = deque(maxlen=MAX_CHANGES)

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot, now_s: float) -> "EngineState":
        """Return the state that everything in a snapshot, taken at `now_s`, amounts to."""
        state = cls()
        for record in state.news_in(snapshot):
            state.fold(record)
        state.settle(snapshot, now_s)
        return state

    @property
    def revision(self) -> int | None:
        """The revision of the settings in force, None before any are known."""
        return self._settings.revision if self._settings else None

    @property
    def daemon_state(self) -> str:
        """How the daemon said that it is."""
        return self._daemon_state

    @property
    def num_in_flight(self) -> int:
        """How many requests the daemon holds."""
        return len(self._requests.rows)

    @property
    def target_s(self) -> float | None:
        """The TBT target in force, None without one."""
        return (self._settings.slo if self._settings else SLO()).tbt_s

    def news_in(self, snapshot: Snapshot) -> list[StreamRecord]:
        """Return the records of a snapshot that were not folded, in their order; none can be read without settings."""
        self._info = snapshot.status.engine
        self._settings = self._settings or snapshot.status.settings
        records = sorted((*snapshot.iterations, *snapshot.events), key=time_of)
        return [record for record in records if self._is_news(record)]

    def settle(self, snapshot: Snapshot, now_s: float) -> None:
        """Go by what a snapshot, taken at `now_s`, says stands now."""
        status = snapshot.status
        self._info = status.engine
        self._settings = status.settings
        self._daemon_state = status.state
        self._blocks = (status.num_blocks_used, status.num_blocks_free)
        self.see_gpus(status)
        self.replace_requests(snapshot.requests, now_s)

    def see_gpus(self, status: Status) -> None:
        """Take over how GPUs are, which no record tells: of the past nothing is known."""
        self._gpus = status.gpus

    def replace_requests(self, requests: Iterable[RequestStatus], now_s: float) -> None:
        """Take over a list of all requests, asked for at `now_s`."""
        self._requests.replace_all(requests, now_s)

    def fold(self, record: StreamRecord) -> None:
        """Take in one record."""
        if isinstance(record, IterationStats) and not self._is_news(record):
            return
        match record:
            case IterationScheduled():
                if self._last_start_s is None or record.start_s > self._last_start_s:
                    self.run(record)
            case IterationStats():
                self._fold_iteration(record)
            case StallEvent():
                self._requests.count_stalls(record)
            case RequestArrival():
                self._requests.arrive(record)
            case RequestStats():
                self._requests.drop(record.request_id)
            case Overload():
                pass  # the plan of each iteration tells
            case SettingsChanged():
                self._settings = record.settings
            case LifeCycle():
                self._fold_life_cycle(record)
            case Heartbeat():
                self._daemon_state = record.state
            case _:
                assert_never(record)
        self.list_event(record)

    def list_event(self, record: StreamRecord) -> None:
        """Add a record to the lists of what happened, which is all that one of the past changes."""
        self._happenings.append(record)
        match record:
            case StallEvent():
                self._stalls.append(record)
            case SettingsChanged():
                self._changes.append(record)
        if isinstance(record, Event):
            self._last_event_s = max(self._last_event_s, record.time_s)

    def recall(self, samples: Iterable[IterationSample], recent: Iterable[IterationStats]) -> None:
        """Begin behind iterations of the past: many as samples, the newest whole."""
        self._samples.extend(samples)
        self._recent.extend(recent)

    def seconds_before(self, number: float) -> Iterator[SecondFigures]:
        """Yield what the seconds before one amounted to, for a state that begins there."""
        return self._seconds.before(number)

    def count(self, record: IterationStats, target_s: float | None) -> None:
        """Count an iteration in its second, which is all that one of the past changes."""
        self._seconds.add(record, target_s)

    def run(self, scheduled: IterationScheduled | None) -> None:
        """Say what runs at this moment, where an iteration that ended later tells."""
        self._running = scheduled
        if scheduled is not None:
            self._requests.begin(scheduled)

    def key_frame(self, now_s: float) -> KeyFrame:
        """Return what stands at `now_s`: where another state can begin."""
        requests = self._requests.rows
        num_running, num_waiting, num_preempted = _counts(requests)
        num_blocks_used, num_blocks_free = self._blocks
        return KeyFrame(
            time_s=now_s,
            daemon_state=self._daemon_state,
            message=self._message,
            info=self._info,
            settings=self._settings,
            running=self._running,
            last_start_s=self._last_start_s,
            num_running=num_running,
            num_waiting=num_waiting,
            num_preempted=num_preempted,
            num_blocks_used=num_blocks_used,
            num_blocks_free=num_blocks_free,
            requests=requests,
        )

    def view(self, now_s: float) -> EngineView:
        """Return what there is to see at `now_s`; changes nothing."""
        requests = self._requests.rows
        num_running, num_waiting, num_preempted = _counts(requests)
        num_blocks_used, num_blocks_free = self._blocks
        return EngineView(
            now_s=now_s,
            daemon_state=self._daemon_state,
            message=self._message,
            info=self._info,
            settings=self._settings,
            running=self._running,
            samples=tuple(self._samples),
            recent=tuple(self._recent),
            stalls=self._stalls.newest_first,
            changes=tuple(reversed(self._changes)),
            happenings=self._happenings.oldest_first,
            requests=requests,
            num_running=num_running,
            num_waiting=num_waiting,
            num_preempted=num_preempted,
            num_blocks_used=num_blocks_used,
            num_blocks_free=num_blocks_free,
            tbt=tuple(figures_of(self._seconds.tbt(now_s, span_s), span_s) for span_s in TBT_SPANS_S),
            ttft=figures_of(self._seconds.ttft(now_s, TTFT_SPAN_S), TTFT_SPAN_S),
            num_recent_stalls=self._stalls.num_since(now_s - STALL_SPAN_S),
            attainment=self._seconds.attainment(now_s, STALL_SPAN_S),
            attainments=self._seconds.attainments(now_s, ATTAINMENT_STEP_S, NUM_ATTAINMENTS),
            output_rate=self._seconds.output_rate(now_s, RATE_SPAN_S),
            goodput=self._seconds.goodput(now_s, RATE_SPAN_S),
            kv_growth=self._seconds.kv_growth(now_s, RATE_SPAN_S),
            gpus=self._gpus,
        )

    def _is_news(self, record: StreamRecord) -> bool:
        if isinstance(record, IterationStats):
            return self._last_start_s is None or record.start_s > self._last_start_s
        return time_of(record) > self._last_event_s

    def _fold_iteration(self, record: IterationStats) -> None:
        self._last_start_s = record.start_s
        if self._running is not None and self._running.sequence_number <= record.sequence_number:
            self._running = None
        self._adopt_settings(record)
        self._recent.append(record)
        self._samples.append(sample_of(record))
        self._seconds.add(record, self.target_s)
        self._blocks = (record.num_blocks_used, record.num_blocks_free)
        self._requests.fold(record)

    def _adopt_settings(self, record: IterationStats) -> None:
        """Follow a retuning whose own record was lost on the way."""
        if self._settings is not None and record.revision > self._settings.revision:
            token_budget = record.token_budget if record.plan is None else self._settings.token_budget
            self._settings = msgspec.structs.replace(
                self._settings, revision=record.revision, policy=record.policy, token_budget=token_budget
            )

    def _fold_life_cycle(self, record: LifeCycle) -> None:
        self._daemon_state = record.state
        self._message = record.message
        if record.state in (DaemonState.STARTING, DaemonState.RESTARTING):
            self._running = None


def _counts(requests: Iterable[RequestRow]) -> tuple[int, int, int]:
    """Return how many run, wait to start, and wait to be resumed."""
    states = Counter(row.state for row in requests)
    num_running = states[RequestState.PREFILL] + states[RequestState.DECODE]
    return num_running, states[RequestState.WAITING], states[RequestState.PREEMPTED]


def time_of(record: StreamRecord) -> float:
    """Return when what a record tells of was over, in monotonic seconds."""
    match record:
        case IterationStats():
            return record.end_s
        case IterationScheduled():
            return record.start_s
        case RequestArrival():
            return record.arrival_s
        case RequestStats():
            return record.finished_s
        case _:
            return record.time_s
