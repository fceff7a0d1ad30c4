"""What must go on holding while a change is on probation: `tbt.p99 < 120ms and stalls_per_s <= 2`."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sarathid.config import parse_duration_s
from sarathid.errors import ConfigError, ControlRefused
from sarathid.protocol.control import ErrorCode

NUM_LOOKS = 3


class Metric(StrEnum):
    """What a guard can speak of, over the last minute: latencies in seconds, and events a second."""

    TBT_P50 = "tbt.p50"
    TBT_P95 = "tbt.p95"
    TBT_P99 = "tbt.p99"
    TBT_MAX = "tbt.max"
    TTFT_P50 = "ttft.p50"
    TTFT_P95 = "ttft.p95"
    TTFT_P99 = "ttft.p99"
    TTFT_MAX = "ttft.max"
    STALLS_PER_S = "stalls_per_s"
    TOKENS_PER_S = "tokens_per_s"

    @property
    def is_rate(self) -> bool:
        return self.value.endswith("_per_s")


MetricValues = Mapping[Metric, float]

_METRICS = {metric.value: metric for metric in Metric} | {"tbt": Metric.TBT_P99, "ttft": Metric.TTFT_P95}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OBJECTIVE = re.compile(r"\s*([a-z0-9_.]+)\s*(<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m)?\s*")


@dataclass(frozen=True, slots=True)
class Objective:
    """One metric against a bound, in seconds or events a second."""

    text: str
    metric: Metric
    comparison: str
    bound: float

    def holds(self, values: MetricValues) -> bool:
        """Return whether it holds; it does where nothing was observed."""
        value = values.get(self.metric)
        return value is None or _COMPARISONS[self.comparison](value, self.bound)

    def failure(self, values: MetricValues) -> str:
        """Return, when it does not hold, `"tbt.p99 < 120ms fails: 268 ms"`."""
        value = values[self.metric]
        if self.metric.is_rate:
            return f"{self.text} fails: {value:.3g} a second"
        return f"{self.text} fails: {value:.3g} s" if value >= 1.0 else f"{self.text} fails: {1e3 * value:.3g} ms"


def parse_guard(text: str) -> tuple[Objective, ...]:
    """Return the objectives that are joined by `and`, none for an empty text.

    Raises `ControlRefused` when one of them cannot be read.
    """
    return tuple(_parse_objective(part) for part in re.split(r"\sand\s", text)) if text else ()


def _parse_objective(text: str) -> Objective:
    match = _OBJECTIVE.fullmatch(text)
    metric = None if match is None else _METRICS.get(match[1])
    if match is None or metric is None or metric.is_rate is not (match[4] is None):
        raise ControlRefused(
            ErrorCode.MALFORMED,
            f"{text.strip()!r} is not an objective",
            "write tbt.p99 < 120ms or stalls_per_s <= 2, several joined by `and`; "
            f"there are {', '.join(Metric)}, with a unit (ms, s, m) for the times",
        )
    return Objective(text.strip(), metric, match[2], float(match[3]) if metric.is_rate else _seconds(match))


def _seconds(match: "re.Match[str]") -> float:
    try:
        return parse_duration_s(match[3] + match[4])
    except ConfigError as error:
        raise ControlRefused(ErrorCode.MALFORMED, str(error)) from error


class GuardWatch:
    """Looks at objectives again and again, and tells which of them turned false and stayed so.

    One counts only from when it has held, so that a change may be made while something is amiss already.
    """

    def __init__(self, objectives: tuple[Objective, ...], values: MetricValues) -> None:
        """Begin with the `values` before the change."""
        self._num_failures = {objective: 0 for objective in objectives if objective.holds(values)}
        self._not_yet_held = set(objectives) - set(self._num_failures)

    @property
    def is_vain(self) -> bool:
        """Whether every objective fails already, so that none can turn."""
        return bool(self._not_yet_held) and not self._num_failures

    def look(self, values: MetricValues) -> Objective | None:
        """Return the objective that has now failed at `NUM_LOOKS` successive looks, if there is one."""
        for objective in [objective for objective in self._not_yet_held if objective.holds(values)]:
            self._not_yet_held.remove(objective)
            self._num_failures[objective] = 0
        for objective, num_failures in self._num_failures.items():
            self._num_failures[objective] = 0 if objective.holds(values) else num_failures + 1
        return next((found for found, num in self._num_failures.items() if num >= NUM_LOOKS), None)
