"""What a screen shows at one moment: values alone, so that a picture is a function of one of these."""

from dataclasses import dataclass

from sarathictl.state.request_table import RequestRow
from sarathictl.state.window import IterationSample
from sarathid.protocol.control import RequestState
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import EngineInfo, EngineSettings, IterationScheduled, SettingsChanged, StallEvent


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """Seconds over the last `span_s`; None where nothing was observed."""

    span_s: float
    count: int = 0
    p50_s: float | None = None
    p90_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineView:
    """The engine at `now_s` (monotonic): settings, tape, figures, stalls (newest first) and requests.

    `running` is the iteration that was scheduled and has not reported back. `tbt` has one entry a
    span, shortest first. `kv_growth` is the share of the KV cache that fills in a second.
    """

    now_s: float
    daemon_state: str
    message: str
    info: EngineInfo | None
    settings: EngineSettings | None
    running: IterationScheduled | None
    samples: tuple[IterationSample, ...]
    stalls: tuple[StallEvent, ...]
    changes: tuple[SettingsChanged, ...]
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
    output_rate: float
    kv_growth: float | None

    @property
    def slo(self) -> SLO:
        return self.settings.slo if self.settings else SLO()

    @property
    def kv_share(self) -> float:
        """The share of the KV cache's blocks that are used."""
        num_blocks = self.num_blocks_used + self.num_blocks_free
        return self.num_blocks_used / num_blocks if num_blocks else 0.0

    @property
    def num_decoding(self) -> int:
        """How many requests have their first token and wait for the next."""
        return sum(row.state is RequestState.DECODE for row in self.requests)

    @property
    def open_gap_s(self) -> float | None:
        """How long the decodes have waited for the iteration that runs now; None when none waits.

        Every decode is in every iteration or waits through it, so the wait began when the last one ended.
        """
        if self.running is None or self.last_end_s is None or not self.num_decoding:
            return None
        return max(0.0, self.now_s - self.last_end_s)

    @property
    def last_end_s(self) -> float | None:
        """When the newest finished iteration ended; None before the first."""
        return self.samples[-1].end_s if self.samples else None
