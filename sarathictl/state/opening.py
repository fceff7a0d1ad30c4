"""How the console looks when it opens."""

from dataclasses import dataclass
from enum import StrEnum

RATES_HZ = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0)
DEFAULT_RATE_HZ = 4.0


class View(StrEnum):
    """The numbered screens, in their order."""

    LIVE = "live"
    REQUESTS = "requests"
    STALLS = "stalls"
    LATENCY = "latency"
    TUNING = "tuning"
    FLEET = "fleet"
    EVENTS = "events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Which screen comes up, how many pictures a second, which requests are listed, and in which theme's colours."""

    view: View = View.LIVE
    rate_hz: float = DEFAULT_RATE_HZ
    filter_text: str = ""
    theme: str = "dark"


def next_rate_hz(rate_hz: float, step: int) -> float:
    """Return the next of the usual rates above one, or the next below for a negative step; the last one stays."""
    others = [other for other in RATES_HZ if (other - rate_hz) * step > 0.0]
    return min(others, key=lambda other: abs(other - rate_hz), default=rate_hz)
