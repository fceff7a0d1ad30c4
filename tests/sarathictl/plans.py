"""A daemon's forecast of one candidate, on paper."""

from typing import Any

import msgspec

from sarathid.protocol.changes import Figures
from sarathid.protocol.plan import Forecast, Planned
from sarathid.protocol.stats import EngineSettings
from tests.sarathictl.records import make_settings

OBSERVED = Figures(
    window_s=300.0,
    tbt_p50_s=0.024,
    tbt_p99_s=0.268,
    ttft_p50_s=0.2,
    ttft_p95_s=0.64,
    ttft_p99_s=0.9,
    tokens_per_s=1182.0,
    num_stalls=327,
    tbt_max_s=0.47,
    bubble=0.061,
)
FORECAST = msgspec.structs.replace(
    OBSERVED, tbt_p99_s=0.094, ttft_p95_s=2.4, tokens_per_s=1167.0, num_stalls=2, tbt_max_s=0.099, bubble=0.023
)


def make_planned(settings: EngineSettings | None = None, **changed: Any) -> Planned:
    """Return a plan that promises fewer stalls and a TTFT above its target, and replays the past 5 % too fast."""
    planned = Planned(
        span_s=300.0,
        profile="a100/yi-34b-tp2",
        correction=1.04,
        num_requests=41,
        num_guessed=0,
        num_left_out=0,
        current=make_settings(2048),
        observed=OBSERVED,
        replayed=msgspec.structs.replace(OBSERVED, tbt_p99_s=0.2546),
        forecasts=(Forecast(settings=settings or make_settings(384), figures=FORECAST),),
    )
    return msgspec.structs.replace(planned, **changed)
