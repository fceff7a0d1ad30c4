"""Which rate of ShareGPT chats the real engine holds on this device under the strict target, by policy."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec

from sarathid.capacity import SCHEDULING_DELAY_S
from sarathid.clock import MonotonicClock
from sarathid.engine.assembly import build_core
from sarathid.request_list import RequestList
from sarathid.simulator.replay import Replay
from sarathid.workload_catalog import load_requests
from tests.gpu.mistral import Loaded
from tests.gpu.report import Row, Verdict

POLICIES = ("stall-free", "prefill-first")
BUDGET = 512  # the paper's for the strict target; prefill-first has none
STRICT = 5.0  # times the isolated decode iteration
STEP = 1.3
NUM_RATES = 15  # that TRIALS trials search
LEAST_RATES_PER_S = {"cuda": 0.25, "cpu": 2.0}
NUM_REQUESTS = 512
SCALES = {"cuda": 1, "cpu": 32}
TRIALS = 4
RUN_OUT = 1.5  # times its arrivals a trial may last


@dataclass(frozen=True, slots=True)
class Trial:
    """What one rate showed: P99 of all TBTs, median of how long requests waited, and how many tokens it saw."""

    rate_per_s: float
    tbt_p99_s: float
    delay_p50_s: float
    num_tbts: int

    def holds(self, target_s: float) -> bool:
        return self.tbt_p99_s <= target_s and self.delay_p50_s <= SCHEDULING_DELAY_S

    def __str__(self) -> str:
        return f"{self.rate_per_s:.2f}/s {self.tbt_p99_s * 1e3:.0f} ms"


def measure_capacities(model: Loaded, limit_s: float) -> Iterator[Row]:
    """Yield each policy's capacity, and last the ratio, from trials that share the time evenly."""
    kind = model.info.device.partition(":")[0]
    scale, least_per_s = SCALES[kind], LEAST_RATES_PER_S[kind]
    requests = load_requests("sharegpt4", num_requests=NUM_REQUESTS, scale=scale)
    target_s = STRICT * model.info.isolated_decode_s
    trial_s = limit_s / (len(POLICIES) * TRIALS) / RUN_OUT
    words = f"P99 TBT within {target_s * 1e3:.0f} ms, {TRIALS} trials of {trial_s:.1f} s each, rates {STEP}x apart"
    yield Row("capacity on sharegpt4", Verdict.MEASURED, words)
    capacities = []
    for policy in POLICIES:
        rates_per_s = [least_per_s * STEP**index for index in range(NUM_RATES)]
        trials = _search(model, policy, requests, rates_per_s, target_s, trial_s)
        held = max((trial.rate_per_s for trial in trials if trial.holds(target_s)), default=0.0)
        capacities.append(held)
        tried = ", ".join(f"{trial}{'' if trial.holds(target_s) else ' missed'}" for trial in trials)
        yield Row(f"capacity under {policy}", Verdict.MEASURED, f"{held:.2f} requests a second ({tried})")
    ours, theirs = capacities
    yield _ratio_row(ours, theirs, least_per_s)


def _ratio_row(ours: float, theirs: float, least_per_s: float) -> Row:
    what = " over ".join(POLICIES)
    if not ours:
        return Row(what, Verdict.NOT_AVAILABLE, f"{POLICIES[0]} did not hold the lowest rate, {least_per_s}/s")
    words = f"{ours / theirs:.1f}x" if theirs else f"more than {ours / least_per_s:.1f}x"
    return Row(what, Verdict.MEASURED, words)


def _search(
    model: Loaded,
    policy: str,
    requests: RequestList,
    rates_per_s: Sequence[float],
    target_s: float,
    trial_s: float,
) -> Sequence[Trial]:
    """Return the trials of a bisection over the rates."""
    low, high, trials = -1, len(rates_per_s), list[Trial]()
    while high - low > 1:
        middle = (low + high) // 2
        trial = _trial(model, policy, requests.at_rate(rates_per_s[middle]), trial_s)
        trials.append(trial)
        low, high = (middle, high) if trial.holds(target_s) else (low, middle)
    return trials


def _trial(model: Loaded, policy: str, requests: RequestList, trial_s: float) -> Trial:
    """Serve what arrives in `trial_s` seconds by a core of its own, and half as long again what is unfinished then."""
    config = msgspec.structs.replace(model.config, policy=policy, token_budget=BUDGET, slo_tbt=None)
    clock = MonotonicClock()
    core = build_core(config, model.executor, model.info, clock)
    replay = Replay(core, clock, requests.within(trial_s).requests)
    end_s = clock.now_s() + RUN_OUT * trial_s
    while replay.step() is not None and clock.now_s() < end_s:
        pass
    measured = replay.measured
    tbts_s = sorted(measured.tbts_s)
    delays_s = [*measured.delays_s, *measured.waits_s(clock.now_s())]
    return Trial(
        rate_per_s=requests.rate_per_s or 0.0,
        tbt_p99_s=tbts_s[math.ceil(0.99 * len(tbts_s)) - 1] if tbts_s else 0.0,
        delay_p50_s=median(delays_s) if delays_s else 0.0,
        num_tbts=len(tbts_s),
    )
