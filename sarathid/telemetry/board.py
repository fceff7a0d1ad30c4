"""What the daemon knows of itself at this moment, folded from the records of the stream."""

from collections import Counter, defaultdict, deque

from sarathid.histogram import LatencyHistogram, LatencyWindow
from sarathid.protocol.control import MAX_HISTORY, DaemonState, Percentiles, PredictionError
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import (
    BudgetBound,
    EngineSettings,
    Event,
    IterationStats,
    LifeCycle,
    Overload,
    RequestStats,
    SettingsChanged,
    StallCause,
    StallEvent,
    StreamRecord,
)
from sarathid.telemetry.burn_rate import BurnRates
from sarathid.telemetry.owner_tally import OwnerTally
from sarathid.telemetry.recent_figures import RecentFigures
from sarathid.telemetry.request_figures import RequestFigures

WINDOW_S = 60.0
MAX_EVENTS = 1024


class Board:
    """Counters since the start, the latencies of the last minute, and the latest records, in bounded memory.

    It is the one place where records are counted: the control socket and `/metrics` both read it. `num_by_bound` counts
    iterations by what kept them from more prefill tokens; `overload` is the one that lasts, None without one.
    `predicted_s` and `real_s` are of iterations that were predicted, stages of a pipeline go by their numbers.
    """

    def __init__(self) -> None:
        self.iterations: deque[IterationStats] = deque(maxlen=MAX_HISTORY)
        self.stalls: deque[StallEvent] = deque(maxlen=MAX_EVENTS)
        self._others: deque[Event] = deque(maxlen=MAX_EVENTS)  # hundreds of stalls a second push none of them out
        self.finished: deque[RequestStats] = deque(maxlen=MAX_EVENTS)
        self.num_iterations = 0
        self.num_output_tokens = 0
        self.num_prefill_tokens = 0
        self.num_cached_tokens = 0
        self.num_queried_tokens = 0
        self.num_preemptions = 0
        self.num_finished: Counter[FinishReason] = Counter()
        self.num_stalls: Counter[StallCause] = Counter()
        self.num_by_bound: Counter[BudgetBound] = Counter()
        self.overload: Overload | None = None
        self.iteration_seconds = LatencyHistogram()
        self.tbt_seconds = LatencyHistogram()
        self.ttft_seconds = LatencyHistogram()
        self.iteration_tokens = LatencyHistogram()  # of tokens instead of seconds
        self.predicted_s = 0.0
        self.real_s = 0.0
        self.stage_busy_s: defaultdict[int, float] = defaultdict(float)
        self.stage_bubble_s: defaultdict[int, float] = defaultdict(float)
        self.requests = RequestFigures()
        self.burn_rates = BurnRates()
        self._slo = SLO()
        self.recent = RecentFigures(WINDOW_S)
        self.owners = OwnerTally(WINDOW_S)

    @property
    def last(self) -> IterationStats | None:
        """The latest iteration, None before the first."""
        return self.iterations[-1] if self.iterations else None

    @property
    def events(self) -> tuple[Event, ...]:
        """The latest stalls and as many of the other events, oldest first."""
        return tuple(sorted((*self.stalls, *self._others), key=_time_of))

    def begin(self, settings: EngineSettings) -> None:
        """Take note of the settings that an engine starts with."""
        self._slo = settings.slo

    def observe(self, record: StreamRecord) -> None:
        """Take a record in."""
        self.recent.observe(record)
        self.owners.observe(record)
        match record:
            case IterationStats():
                self._observe_iteration(record)
            case RequestStats():
                self.finished.append(record)
                self.num_finished[record.finish_reason] += 1
                self.requests.observe(record)
            case StallEvent():
                self.stalls.append(record)
                self.num_stalls[record.cause] += len(record.victims)
                self._count_misses(record)
            case Overload():
                self._others.append(record)
                self.overload = record if record.is_overloaded else None
            case LifeCycle():
                self._others.append(record)
                if record.state == DaemonState.RESTARTING:
                    self.overload = None
            case SettingsChanged():
                self._others.append(record)
                self._slo = record.slo
                self.overload = None

    def tbt(self, now_s: float) -> Percentiles:
        """Return the times between tokens of the last minute."""
        return _percentiles(self.recent.tbt, now_s)

    def ttft(self, now_s: float) -> Percentiles:
        """Return the times to first token of the last minute."""
        return _percentiles(self.recent.ttft, now_s)

    def prediction_error(self, now_s: float) -> PredictionError:
        """Return how far the cost model was off in the last minute."""
        window = self.recent.prediction_error
        errors = window.histogram(now_s)
        return PredictionError(
            window_s=window.window_s, count=errors.count, p50=errors.percentile(0.5), p95=errors.percentile(0.95)
        )

    def _observe_iteration(self, stats: IterationStats) -> None:
        self.iterations.append(stats)
        self.num_iterations += 1
        self.num_by_bound[stats.bound] += 1
        self.num_output_tokens += len(stats.gaps) + len(stats.first_tokens)
        self.num_prefill_tokens += stats.num_prefill_tokens
        self.num_cached_tokens += stats.num_cached_tokens
        self.num_queried_tokens += sum(
            [chunk.num_tokens for chunk in stats.chunks if chunk.start == chunk.num_cached_tokens]
        )
        self.num_preemptions += len(stats.preempted)
        self.iteration_seconds.record(stats.duration_s)
        self.tbt_seconds.record_each([gap.tbt_s for gap in stats.gaps])
        for first in stats.first_tokens:
            self.ttft_seconds.record(first.ttft_s)
        self.iteration_tokens.record(stats.num_prefill_tokens + stats.num_decode_tokens)
        self._observe_times(stats)
        self._count_events(stats)

    def _observe_times(self, stats: IterationStats) -> None:
        if stats.predicted_s is not None:
            self.predicted_s += stats.predicted_s
            self.real_s += stats.execute_s
        for number, stage in enumerate(stats.stages):
            self.stage_busy_s[number] += stage.busy_s
            self.stage_bubble_s[number] += stage.bubble_s

    def _count_events(self, stats: IterationStats) -> None:
        if self._slo.tbt_s is not None:
            self.burn_rates.count("tbt", stats.end_s, len(stats.gaps), 0)
        if (target_s := self._slo.ttft_s) is not None:
            num_late = sum([first.ttft_s > target_s for first in stats.first_tokens])
            self.burn_rates.count("ttft", stats.end_s, len(stats.first_tokens), num_late)

    def _count_misses(self, stall: StallEvent) -> None:
        """Count the misses among gaps that were counted as events; one between two engines is in no iteration."""
        num_victims = len(stall.victims)
        if not stall.is_delivery:
            is_new = stall.cause is StallCause.RESTART
            self.burn_rates.count("tbt", stall.time_s, num_victims if is_new else 0, num_victims)


def _percentiles(window: LatencyWindow, now_s: float) -> Percentiles:
    recent = window.histogram(now_s)
    return Percentiles(
        window_s=window.window_s,
        count=recent.count,
        p50_s=recent.percentile(0.5),
        p99_s=recent.percentile(0.99),
        max_s=recent.max_s,
    )


def _time_of(event: Event) -> float:
    return event.time_s
