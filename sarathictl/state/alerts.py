"""When an operator wants to be told: a figure above its threshold, told once until it was below again."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathid.errors import ConfigError

_RULE = re.compile(r"(?P<name>[a-z0-9.]+)\s*>\s*(?P<bound>\S+)")

Value = Callable[[EngineView], float | None]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a view that can be watched, and how a bound for it is read and written."""

    value: Value
    read: Callable[[str], float]
    shown: Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Alert:
    """A figure that rose above its threshold, and when (monotonic seconds)."""

    name: str
    value: float
    bound: float
    time_s: float

    @property
    def words(self) -> str:
        """What it says on the screen: `"tbt.p99 323 ms > 120 ms"`."""
        shown = METRICS[self.name].shown
        return f"{self.name} {shown(self.value)} > {shown(self.bound)}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Tell when the figure `name` is above `bound`."""

    name: str
    bound: float


class AlertWatch:
    """Looks at views, and says which rules have come to hold since the last look."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = rules
        self._raised: dict[str, Alert] = {}

    def look(self, view: EngineView) -> list[Alert]:
        """Return the alerts that are new."""
        rules = self._rules or _targets(view)
        before = self._raised
        self._raised = {}
        for rule in rules:
            value = METRICS[rule.name].value(view)
            if value is not None and value > rule.bound:
                first_s = before[rule.name].time_s if rule.name in before else view.now_s
                self._raised[rule.name] = Alert(rule.name, value, rule.bound, first_s)
        return [alert for name, alert in self._raised.items() if name not in before]

    @property
    def raised(self) -> tuple[Alert, ...]:
        """The alerts whose figures are above their thresholds still."""
        return tuple(self._raised.values())


def read_rules(texts: Iterable[str]) -> list[Rule]:
    """Return what `["tbt.p99>120ms", "kv>90%", "wait>10"]` ask for; raises `ConfigError` when one can't be read."""
    return [_read_rule(text) for text in texts]


def _read_rule(text: str) -> Rule:
    match = _RULE.fullmatch(text.strip())
    if match is None or match["name"] not in METRICS:
        raise ConfigError(f"{text!r} is no threshold; write tbt.p99>120ms, and of {', '.join(METRICS)} one")
    return Rule(match["name"], METRICS[match["name"]].read(match["bound"]))


def _targets(view: EngineView) -> list[Rule]:
    """Return the rules where none were asked for: the targets themselves."""
    slo = view.slo
    targets = (("tbt.p99", slo.tbt_s), ("ttft.p95", slo.ttft_s))
    return [Rule(name, target_s) for name, target_s in targets if target_s is not None]


def _read_share(text: str) -> float:
    number = text.removesuffix("%")
    if not number.isdecimal() or not text.endswith("%") or int(number) > 100:
        raise ConfigError(f"{text!r} is no share; write 90%")
    return int(number) / 100.0


def _read_count(text: str) -> float:
    if not text.isdecimal() or len(text) > 9:
        raise ConfigError(f"{text!r} is no whole number")
    return float(text)


def _duration(value: Value) -> Metric:
    return Metric(value, units.parse_duration_s, units.duration)


def _count(value: Value) -> Metric:
    return Metric(value, _read_count, lambda number: f"{number:.0f}")


METRICS = {
    "tbt.p99": _duration(lambda view: view.tbt[0].p99_s),
    "tbt.max": _duration(lambda view: view.tbt[0].max_s),
    "ttft.p95": _duration(lambda view: view.ttft.p95_s),
    "ttft.max": _duration(lambda view: view.ttft.max_s),
    "stall": _duration(lambda view: view.open_gap_s),
    "kv": Metric(lambda view: view.kv_share, _read_share, units.share),
    "wait": _count(lambda view: view.num_waiting),
    "preempted": _count(lambda view: view.num_preempted),
    "stalls": _count(lambda view: view.num_recent_stalls),
}
