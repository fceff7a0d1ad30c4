"""From what was seen to the few figures that are compared."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sarathictl.bench.trace import LoadTrace, Role
from sarathid.errors import ConfigError
from sarathid.protocol.slo import BudgetChoice, read_budget
from sarathid.protocol.stats import IterationStats


@dataclass(frozen=True, slots=True)
class Setting:
    """What is compared: a policy and the budget it ran with (None: the one that the daemon has)."""

    policy: str
    budget: BudgetChoice | None = None

    @property
    def label(self) -> str:
        return self.policy if self.budget is None else f"{self.policy}:{self.budget}"


def parse_setting(text: str) -> Setting:
    """Return the setting that `"stall-free"` or `"stall-free:128"` names, or raise `ConfigError`."""
    policy, separator, budget = text.partition(":")
    try:
        if not policy:
            raise ValueError("a policy has a name")
        return Setting(policy, read_budget(budget) if separator else None)
    except ValueError:
        raise ConfigError(f"{text!r} is not a policy; write stall-free, stall-free:128 or stall-free:auto") from None


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of load under one setting, as its clients and as the engine saw it."""

    setting: Setting
    load: LoadTrace
    iterations: tuple[IterationStats, ...]
    num_records_lost: int

    @property
    def num_engine_tokens(self) -> int:
        """Tokens of the iterations that ended while figures were taken, prefill and decode."""
        return sum(
            iteration.num_decode_tokens + iteration.num_prefill_tokens
            for iteration in self.iterations
            if self.load.start_s < iteration.end_s <= self.load.end_s
        )


@dataclass(frozen=True, slots=True)
class Distribution:
    """Seconds by nearest rank over all values; None where there was none."""

    count: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """All phases of one setting taken together.

    `tbt` is over the streams' tokens as read from the socket, the wait that each is in at the end
    included; `ttft` over the long prompts from sending to first token. A stall is a TBT above the
    daemon's target; None where it has no target.
    """

    setting: Setting
    num_phases: int
    duration_s: float
    tbt: Distribution
    ttft: Distribution
    num_stalls: int | None
    stream_tokens_per_s: float
    tokens_per_s: float
    failures: tuple[str, ...]


def measure(setting: Setting, phases: Sequence[Phase], target_s: float | None) -> Measurement:
    """Return the figures of the phases that ran under `setting`, of which there is at least one."""
    loads = [phase.load for phase in phases if phase.setting == setting]
    duration_s = sum(load.duration_s for load in loads)
    tbts_s = [tbt for load in loads for tbt in _stream_tbts_s(load)]
    ttfts_s = [request.ttft_s for load in loads for request in load.of(Role.PROMPT) if request.ttft_s is not None]
    return Measurement(
        setting=setting,
        num_phases=len(loads),
        duration_s=duration_s,
        tbt=distribution(tbts_s),
        ttft=distribution(ttfts_s),
        num_stalls=None if target_s is None else sum(tbt > target_s for tbt in tbts_s),
        stream_tokens_per_s=sum(map(_num_stream_tokens, loads)) / duration_s,
        tokens_per_s=sum(phase.num_engine_tokens for phase in phases if phase.setting == setting) / duration_s,
        failures=tuple(f"{request.name}: {request.failure}" for load in loads for request in load.failed),
    )


def distribution(values_s: Iterable[float]) -> Distribution:
    """Return count, P50, P99 and maximum of some seconds."""
    ranked = sorted(values_s)
    if not ranked:
        return Distribution(0, None, None, None)
    return Distribution(len(ranked), nearest_rank(ranked, 0.50), nearest_rank(ranked, 0.99), ranked[-1])


def nearest_rank(ranked: Sequence[float], quantile: float, count: int | None = None) -> float | None:
    """Return the smallest of `ranked`, rising, that a share `quantile` of all does not exceed; None of none.

    With a `count` above theirs, the values that are missing count as lower than all of them, and 0.0
    is returned when the quantile falls among those.
    """
    if not ranked:
        return None
    num_missing = 0 if count is None else count - len(ranked)
    index = math.ceil(quantile * (len(ranked) + num_missing)) - 1 - num_missing
    return ranked[max(0, index)] if index >= 0 or not num_missing else 0.0


def _num_stream_tokens(load: LoadTrace) -> int:
    return sum(request.num_tokens(load.start_s, load.end_s) for request in load.of(Role.STREAM))


def _stream_tbts_s(load: LoadTrace) -> Iterable[float]:
    for request in load.of(Role.STREAM):
        yield from request.tbts_s(load.start_s, load.end_s)
