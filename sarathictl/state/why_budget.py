"""Why the token budget is what it is, in sentences."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from sarathictl import units
from sarathictl.state.facts import Fact
from sarathictl.state.retuning import budget_in_words
from sarathictl.state.window import IterationSample
from sarathid.protocol.slo import BudgetMode, OverloadMode
from sarathid.protocol.stats import BudgetBound, BudgetPlan, EngineSettings, Overload
from sarathid.protocol.why import BudgetReasons

NUM_SAMPLES = 100
BUDGETED_POLICIES = ("stall-free", "chunked-only")
_IDLE_S = 2.0
_BOUNDS = {
    BudgetBound.DEMAND: "by nothing (no prompt wanted more)",
    BudgetBound.FIXED: "by the number of tokens",
    BudgetBound.TARGET: "by the target",
    BudgetBound.USE: "by use (a longer one would gain little)",
    BudgetBound.MOST: "by --max-budget",
    BudgetBound.FLOOR: "by the floor (the decodes left no time)",
    BudgetBound.HOLD: "by a hold (one request more would be too many)",
}


def explain_budget(found: BudgetReasons) -> list[Fact]:
    """Return the facts behind the budget, the most telling first."""
    return [("budget", _budget(found)), *_plan(found), *_record(found), ("change", _what_would_change_it(found))]


def budget_now_in_words(settings: EngineSettings, samples: Sequence[IterationSample]) -> str:
    """Return `"512"`, or, adaptive, what the last bound iteration came to and why: `"auto 612 (target)"`."""
    words = budget_in_words(settings)
    if settings.budget_mode is not BudgetMode.ADAPTIVE or not samples:
        return words
    newest = islice(reversed(samples), NUM_SAMPLES)
    bound = next((sample.bound for sample in newest if sample.bound is not BudgetBound.DEMAND), None)
    return f"{words} {samples[-1].token_budget}" + (f" ({bound})" if bound else "")


def _budget(found: BudgetReasons) -> str:
    engine = found.engine
    tiles = f", in tiles of {engine.tile}" if engine.tile > 1 else ""
    limits = f"{engine.min_token_budget} to {engine.max_token_budget}{tiles}; revision {found.settings.revision}"
    return f"{units.tokens(found.token_budget)} an iteration, {_mode(found)} ({limits})"


def _mode(found: BudgetReasons) -> str:
    target_s = found.settings.slo.tbt_s
    match found.settings.budget_mode:
        case BudgetMode.FIXED:
            return "fixed"
        case BudgetMode.PROFILED if target_s is None:
            return "profiled, which takes a TBT target and there is none"
        case BudgetMode.PROFILED:
            return "profiled: the most that keeps to the TBT target at the heaviest load"
        case BudgetMode.ADAPTIVE if target_s is None:
            return "auto, with no TBT target to follow"
        case BudgetMode.ADAPTIVE if found.age_s is None:
            return "auto, before its first iteration"
        case BudgetMode.ADAPTIVE if found.plan is None:
            return "auto, with too little seen to predict by"
        case BudgetMode.ADAPTIVE:
            return "auto: what fits into the TBT target"


def _plan(found: BudgetReasons) -> Iterator[Fact]:
    policy, target_s, plan = found.settings.policy, found.settings.slo.tbt_s, found.plan
    if policy not in BUDGETED_POLICIES:
        yield "policy", f"{policy} runs whole prompts: the budget does not cut them"
    if target_s is None:
        return
    if plan is None:
        yield "target", f"TBT P99 within {units.duration(target_s)}; {_late(found)}"
        return
    yield "target", f"TBT P99 within {units.duration(target_s)}, of which {_planned(plan, target_s)}"
    yield "headroom", f"{units.share(1.0 - plan.headroom)}: {_late(found)}; late ones raise it, those in time lower it"
    yield "now", _now(found, plan)


def _late(found: BudgetReasons) -> str:
    span = units.duration(found.window_s)
    if not found.num_tbts:
        return f"no token in the last {span}"
    late = units.fine_share(found.num_late / found.num_tbts)
    return f"{found.num_late} of {units.tokens(found.num_tbts)} late in {span} ({late}, a P99 allows 1 %)"


def _planned(plan: BudgetPlan, target_s: float) -> str:
    schedule_s = max(0.0, target_s * plan.headroom - plan.planned_s)
    return (
        f"{units.duration(plan.planned_s)} are planned for: {units.share(plan.headroom)} "
        f"less {units.duration(schedule_s)} of scheduling"
    )


def _now(found: BudgetReasons, plan: BudgetPlan) -> str:
    when = "" if found.age_s is None or found.age_s < _IDLE_S else f", {units.duration(found.age_s)} ago"
    factor = f"predicted, times {plan.correction:.2f} by what was observed"
    if not found.num_decodes:
        return f"the last iteration{when} had no decodes to be in time for ({factor})"
    decodes = f"{_decodes(found.num_decodes)} {'takes' if found.num_decodes == 1 else 'take'}"
    limit = "" if plan.limit_s is None else f"; with prompts it may take {units.duration(plan.limit_s)}"
    return f"{decodes} {units.duration(plan.decode_s)} alone ({factor}){limit}{when}"


def _decodes(number: int) -> str:
    return "1 decode" if number == 1 else f"{number} decodes"


def _record(found: BudgetReasons) -> Iterator[Fact]:
    if num_iterations := sum(found.num_by_bound.values()):
        counts = (f"{count} {_BOUNDS[bound]}" for bound, count in Counter(found.num_by_bound).most_common())
        yield "bound", f"of the last {num_iterations} iterations {', '.join(counts)}"
    error = found.prediction_error
    if error.p50 is not None and error.p95 is not None:
        shares = f"{units.fine_share(error.p50)} (P50) and {units.fine_share(error.p95)} (P95)"
        span = units.duration(error.window_s)
        yield "predicted", f"within {shares} of what {error.count} iterations took in the last {span}"
    if found.promises.median_error_s is not None:
        off = units.duration(found.promises.median_error_s)
        yield "promises", f"of a start, the last {found.promises.count}: off by {off} in the median"
    if found.overload is not None:
        yield "overload", f"{_overload(found.overload)}; new requests {_new_requests(found)}"


def _overload(overload: Overload) -> str:
    fitting = f"{overload.most_decodes} like them" if overload.most_decodes else "not even one like them"
    return (
        f"since iteration {overload.iteration}: {_decodes(overload.num_decodes)} took "
        f"{units.duration(overload.decode_s)} alone, of {units.duration(overload.planned_s)}; {fitting} would fit"
    )


def _new_requests(found: BudgetReasons) -> str:
    match found.settings.overload(found.engine.overload):
        case OverloadMode.ADMIT if found.engine.overload is OverloadMode.AUTO:
            return "are let in all the same, until somebody sets a target"
        case OverloadMode.ADMIT:
            return "are let in all the same"
        case OverloadMode.SHED:
            return "are refused"
        case _:
            return "wait"


def _what_would_change_it(found: BudgetReasons) -> str:
    if not found.num_by_bound:
        return "nobody can tell yet: no iteration has run under these settings"
    bound = main_bound(found.num_by_bound)
    engine = found.engine
    match bound:
        case BudgetBound.DEMAND:
            return "nothing waits for it: the iterations ran all that there was"
        case BudgetBound.FIXED:
            return (
                f"`set-budget N`, up to {engine.max_token_budget}, or `set-budget auto`, which follows the TBT target"
            )
        case BudgetBound.TARGET:
            return "a looser target (`set-slo tbt=...`), or fewer answers at a time"
        case BudgetBound.USE:
            return "no more is of use: prompts would not be done sooner (`set-budget N` takes more all the same)"
        case BudgetBound.MOST:
            return f"a daemon with more than --max-budget {engine.max_token_budget}"
        case BudgetBound.FLOOR | BudgetBound.HOLD if found.overload is not None and not found.overload.most_decodes:
            return "a looser target (`set-slo tbt=...`): one answer alone takes more than is planned for"
        case BudgetBound.FLOOR | BudgetBound.HOLD:
            return "a looser target (`set-slo tbt=...`), or fewer answers at a time (--max-num-seqs)"


def main_bound(num_by_bound: dict[BudgetBound, int]) -> BudgetBound:
    """Return what bound most of the iterations that anything bound; `DEMAND` where nothing did."""
    bound = {kind: count for kind, count in num_by_bound.items() if kind is not BudgetBound.DEMAND}
    return max(bound, key=lambda kind: bound[kind], default=BudgetBound.DEMAND)
