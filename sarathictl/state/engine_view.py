"""What a screen shows at one moment: values alone, so that a picture is a function of one of these."""

from dataclasses import dataclass, field

from sarathictl.state.happenings import Happening
from sarathictl.state.window import IterationSample
from sarathid.histogram import LatencyHistogram
from sarathid.protocol.control import RequestState
from sarathid.protocol.gpus import GPUStatus
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import (
    Blocker,
    EngineInfo,
    EngineSettings,
    IterationScheduled,
    IterationStats,
    SettingsChanged,
    StallEvent,
)
from sarathid.tape.request_table import RequestRow

MIN_KV_GROWTH = 0.001


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """Seconds over the last `span_s`, all of them in `histogram`; None where nothing was observed."""

    span_s: float
    count: int = 0
    p50_s: float | None = None
    p90_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None
    histogram: LatencyHistogram = field(default_factory=LatencyHistogram, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineView:
    """The engine at `now_s` (monotonic): settings, tape, figures, stalls (newest first) and requests.

    `recent` are the newest iterations whole, oldest first; `samples` go further back. `running` is the
    iteration that was scheduled and has not reported back. `tbt` has one entry a span, shortest first.
    `happenings` are oldest first, without the stalls. `output_rate` and `goodput` are output tokens a second, the
    latter those that came in time. `attainment` is the share of a minute's gaps that met the target, `attainments` are
    those of its tenths, oldest first. `kv_growth` is the share of the KV cache that fills in a second.
    """

    now_s: float
    daemon_state: str
    message: str
    info: EngineInfo | None
    settings: EngineSettings | None
    running: IterationScheduled | None
    samples: tuple[IterationSample, ...]
    recent: tuple[IterationStats, ...]
    stalls: tuple[StallEvent, ...]
    changes: tuple[SettingsChanged, ...]
    happenings: tuple[Happening, ...]
    requests: tuple[RequestRow, ...]
    num_running: int
    num_waiting: int
    num_preempted: int
    num_blocks_used: int
    num_blocks_free: int
    tbt: tuple[LatencyFigures, ...]
    ttft: LatencyFigures
    num_recent_stalls: int
    attainment: float | None
    attainments: tuple[float | None, ...]
    output_rate: float
    goodput: float
    kv_growth: float | None
    gpus: tuple[GPUStatus, ...] = ()

    @property
    def slo(self) -> SLO:
        return self.settings.slo if self.settings else SLO()

    @property
    def kv_share(self) -> float:
        """The share of the KV cache's blocks that are used."""
        num_blocks = self.num_blocks_used + self.num_blocks_free
        return self.num_blocks_used / num_blocks if num_blocks else 0.0

    @property
    def kv_full_in_s(self) -> float | None:
        """In how many seconds the KV cache is full if it fills as fast as of late; None while it does not fill."""
        if self.kv_growth is None or self.kv_growth < MIN_KV_GROWTH:
            return None
        return (1.0 - self.kv_share) / self.kv_growth

    @property
    def waiting_since_s(self) -> dict[int, float]:
        """When each decode got its newest token, longest ago first, while an iteration runs; else empty."""
        if self.running is None:
            return {}
        decodes = {
            row.request_id: row.last_token_s
            for row in self.requests
            if row.state is RequestState.DECODE and row.last_token_s is not None
        }
        return dict(sorted(decodes.items(), key=lambda decode: decode[1]))

    @property
    def longest_wait_s(self) -> float | None:
        """How long the request that has waited longest to start has; None when none waits."""
        waiting = (row.arrival_s for row in self.requests if row.state is RequestState.WAITING)
        oldest_s = min((arrival_s for arrival_s in waiting if arrival_s is not None), default=None)
        return None if oldest_s is None else max(0.0, self.now_s - oldest_s)

    @property
    def blocked_by(self) -> Blocker | None:
        """Why the oldest request that waits was not started in the newest iteration; None where nothing kept it."""
        if self.running is not None:
            return self.running.blocked_by
        return self.recent[-1].blocked_by if self.recent else None

    @property
    def open_gap_s(self) -> float | None:
        """How long the decode that has waited longest waits for the running iteration; None when none does."""
        since_s = next(iter(self.waiting_since_s.values()), None)
        return None if since_s is None else max(0.0, self.now_s - since_s)

    @property
    def last_end_s(self) -> float | None:
        """When the newest finished iteration ended; None before the first."""
        return self.samples[-1].end_s if self.samples else None
