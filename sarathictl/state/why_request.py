"""Why a request waits, or stalled, in sentences."""

from collections.abc import Iterator

from sarathictl import units
from sarathictl.state.facts import Fact
from sarathictl.state.sentences import parts_in_words, progress
from sarathictl.state.why_budget import BUDGETED_POLICIES
from sarathid.protocol.control import RequestState, RequestStatus
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import Blocker, BudgetPlan, RequestStats, StallCause
from sarathid.protocol.why import KeptPromise, RequestReasons, StallReasons, StartPromise, WaitReasons

MAX_TOLD_STALLS = 8
_JUST_NOW_S = 0.5
_SAME_GAP = 0.01


def explain_request(found: RequestReasons) -> list[Fact]:
    """Return where a request stands, what it waits for, and what its stalls were made of."""
    return [*_standing(found), *_promise_kept(found.kept_promise), *_waiting(found), *_stalls(found)]


def _standing(found: RequestReasons) -> Iterator[Fact]:
    if found.status is not None:
        yield from _of_status(found.status, found.slo)
    elif found.ended is not None:
        yield from _of_ended(found.ended, found.slo, found.ended_age_s)


def _of_status(status: RequestStatus, slo: SLO) -> Iterator[Fact]:
    yield "request", f"{_name(status.request_id, status.client)}, {_state(status)}, {units.duration(status.age_s)} old"
    yield from _cached(status.num_cached_tokens, status.num_prompt_tokens)
    if status.ttft_s is not None:
        yield "TTFT", f"{units.duration(status.ttft_s)}{_target(slo.ttft_s)}"
    if status.tbt_last_s is not None:
        last, longest = units.duration(status.tbt_last_s), units.duration(status.tbt_max_s)
        yield "TBT", f"last {last}, longest {longest}{_target(slo.tbt_s)}; {_num_stalls(status.num_stalls)}"


def _of_ended(ended: RequestStats, slo: SLO, age_s: float | None) -> Iterator[Fact]:
    tokens = f"{units.tokens(ended.num_prompt_tokens)} of prompt, {units.tokens(ended.num_output_tokens)} of answer"
    when = f"ended {units.duration(age_s)} ago ({ended.finish_reason})"
    yield "request", f"{_name(ended.request_id, ended.client)}, {when}: {tokens}"
    if ended.scheduled_s is None:
        yield "start", "it never did"
    else:
        yield "start", f"after {units.duration(ended.scheduled_s - ended.arrival_s)}"
        yield from _cached(ended.num_cached_tokens, ended.num_prompt_tokens)
    if ended.ttft_s is not None:
        yield "TTFT", f"{units.duration(ended.ttft_s)}{_target(slo.ttft_s)}"
    if ended.tbt_max_s is not None:
        usual, longest = units.duration(ended.tbt_p50_s), units.duration(ended.tbt_max_s)
        yield "TBT", f"P50 {usual}, longest {longest}{_target(slo.tbt_s)}; {_num_stalls(ended.num_stalls)}"
    if ended.num_preemptions:
        yield (
            "preempted",
            f"{units.times(ended.num_preemptions)}; {units.tokens(ended.num_recomputed_tokens)} computed again",
        )


def _cached(num_cached_tokens: int, num_prompt_tokens: int) -> Iterator[Fact]:
    if num_cached_tokens:
        yield "cached", f"{num_cached_tokens} of {units.tokens(num_prompt_tokens)} of prompt had been computed before"


def _state(status: RequestStatus) -> str:
    prompt, computed = status.num_prompt_tokens, status.num_computed_tokens
    match status.state:
        case RequestState.WAITING:
            return f"waiting, with a prompt of {units.tokens(prompt)}"
        case RequestState.PREEMPTED:
            return f"preempted, to compute {units.tokens(prompt + status.num_output_tokens)} again"
        case RequestState.PREFILL:
            whole = prompt + status.num_output_tokens
            return f"prefill at {computed} of {units.tokens(whole)} ({units.share(computed / whole)})"
        case RequestState.DECODE:
            limit = "" if status.max_tokens is None else f" of at most {status.max_tokens}"
            return f"decode, {units.tokens(status.num_output_tokens)}{limit} behind a prompt of {prompt}"


def _waiting(found: RequestReasons) -> Iterator[Fact]:
    wait = found.wait
    if wait is None:
        return
    yield "position", f"{wait.position} of {wait.num_waiting} that wait, behind {wait.num_running} that run"
    whom = "it" if wait.position == 1 else f"request {wait.head.request_id}, the first,"
    yield from _turn(found, wait)
    yield "blocked", f"{whom} {_blocker(found, wait)}"
    yield "start", _start(wait)
    if wait.promise is not None and wait.promise.age_s >= _JUST_NOW_S:
        yield "promised", _promised(wait.promise)


def _turn(found: RequestReasons, wait: WaitReasons) -> Iterator[Fact]:
    """Yield whose turn it is where several owners have requests, and what the request's own priority is worth."""
    if found.status is None:
        return
    own, deficits = found.status.owner, wait.deficits
    if deficits:
        owed = f"{units.printable(own)} is owed {units.tokens(deficits.get(own, 0))}"
        others = [owner for owner in deficits if owner != own]
        most = max(others, key=lambda owner: deficits[owner], default=None)
        rival = "" if most is None else f", {units.printable(most)} {units.tokens(deficits[most])}"
        yield "turn", f"{owed}{rival}; who is owed most goes first"
    if found.status.priority:
        direction = "before" if found.status.priority < 0 else "behind"
        yield "priority", f"{found.status.priority}: {direction} others of {units.printable(own)}"


def _blocker(found: RequestReasons, wait: WaitReasons) -> str:
    if not found.is_engine_ready:
        return "waits for an engine: another one starts"
    engine, plan = found.engine, found.plan
    match wait.blocked_by:
        case Blocker.BLOCKS:
            kept = 0 if engine is None else engine.num_watermark_blocks
            return (
                f"waits for KV blocks: it needs {wait.num_blocks_needed}; {wait.num_blocks_free} are free, "
                f"{wait.num_blocks_promised} of them promised to prompts that run and {kept} kept for answers that grow"
            )
        case Blocker.SEQUENCES:
            return f"waits for a place: all {wait.num_running} are taken (--max-num-seqs)"
        case Blocker.BUDGET:
            return "waits for the budget: the prompts that run take all of it"
        case Blocker.PREEMPTION:
            return "waits since a running request lost its blocks; nothing starts in such an iteration"
        case Blocker.HOLD:
            times = "" if plan is None else _hold(plan)
            return f"is held back: with one request more the decodes alone would miss the target{times}"
        case None:
            return "has not been turned away: the next iteration decides"


def _hold(plan: BudgetPlan) -> str:
    return f", at {units.duration(plan.decode_s)} now of {units.duration(plan.planned_s)} that are planned for"


def _start(wait: WaitReasons) -> str:
    rates, reasons = wait.rates, []
    if wait.num_tokens_ahead:
        rate = rates.prefill_tokens_per_s
        pace = "none were lately" if rate is None else f"at {rate:.0f} a second"
        reasons.append(f"{units.tokens(wait.num_tokens_ahead)} of prompts come first, {pace}")
    if wait.num_ends_ahead:
        ends = "1 request has" if wait.num_ends_ahead == 1 else f"{wait.num_ends_ahead} requests have"
        reasons.append(f"{ends} to end, {_pace_of_ends(wait)}")
    because = "; ".join(reasons) or "nothing comes before it"
    if wait.starts_in_s is None:
        return f"no saying when: {because}"
    return f"in about {units.duration(wait.starts_in_s)}: {because}" if reasons else f"at once: {because}"


def _pace_of_ends(wait: WaitReasons) -> str:
    rate = wait.rates.ends_per_s
    pace = f"{rate:.2g} a second did" if rate else "none did lately"
    is_by_limits = wait.starts_in_s is not None and wait.num_ends_ahead > rate * wait.starts_in_s
    return f"{pace}, but their limits of length are near" if is_by_limits else pace


def _promised(promise: StartPromise) -> str:
    ahead = units.duration(promise.age_s + promise.due_s)
    still = f"{units.duration(promise.due_s)} from now" if promise.due_s >= 0.0 else "overdue"
    late = "" if promise.due_s >= 0.0 else f" by {units.duration(-promise.due_s)}"
    return f"{units.duration(promise.age_s)} ago, to start {ahead} later: {still}{late}"


def _promise_kept(kept: KeptPromise | None) -> Iterator[Fact]:
    if kept is not None:
        off = f"{units.duration(abs(kept.late_s))} {'late' if kept.late_s > 0.0 else 'early'}"
        yield "promised", f"a start {units.duration(kept.ahead_s)} ahead; it came {off}"


def _stalls(found: RequestReasons) -> Iterator[Fact]:
    for reasons in found.stalls[:MAX_TOLD_STALLS]:
        yield "stall", f"{units.duration(reasons.age_s)} ago, {_sum(reasons)}"
        yield from (("", words) for words in _culprit(reasons))
    if (num_before := _num_stalls_in_all(found) - len(found.stalls[:MAX_TOLD_STALLS])) > 0 and found.stalls:
        yield "", f"{_num_stalls(num_before)} before these are left out; `stalls` tells of those that are remembered"


def _num_stalls_in_all(found: RequestReasons) -> int:
    """Return how many stalls the request had, of which the daemon remembers the latest."""
    standing = found.status or found.ended
    return len(found.stalls) if standing is None else standing.num_stalls


def _sum(reasons: StallReasons) -> str:
    stall = reasons.stall
    own, worst = units.duration(reasons.tbt_s), units.duration(stall.worst_gap_s)
    terms = parts_in_words(stall)
    if abs(stall.worst_gap_s - reasons.tbt_s) <= _SAME_GAP * stall.worst_gap_s:
        return f"{own} = {terms}"
    return f"{own}; the longest then, {worst} of request {stall.victims[0].request_id}, = {terms}"


def _culprit(reasons: StallReasons) -> Iterator[str]:
    stall = reasons.stall
    if (chunk := stall.chunk) is not None and stall.cause in (StallCause.PREFILL, StallCause.PREEMPTION):
        whose = f"request {chunk.request_id} ({progress(chunk)})"
        yield f"by {units.tokens(chunk.length)} of {whose} in iteration {stall.chunk_iteration}"
    if reasons.preventing_budget is not None:
        policy = "" if reasons.policy in BUDGETED_POLICIES else f"`set-policy {BUDGETED_POLICIES[0]}` and "
        change = f"{policy}`set-budget {reasons.preventing_budget}`"
        yield f"{change} would have kept it within {units.duration(stall.target_s)}"


def _name(request_id: int, client: str) -> str:
    return f"{request_id} of {units.printable(client)}" if client else str(request_id)


def _target(target_s: float | None) -> str:
    return "" if target_s is None else f", target {units.duration(target_s)}"


def _num_stalls(number: int) -> str:
    return "1 stall" if number == 1 else f"{number or 'no'} stalls"
