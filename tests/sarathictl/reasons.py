"""Answers to why, as a daemon would give them."""

from typing import Any

import msgspec

from sarathid.protocol.control import PredictionError, RequestState
from sarathid.protocol.slo import SLO, BudgetMode
from sarathid.protocol.stats import (
    Blocker,
    BudgetBound,
    BudgetPlan,
    ChunkStats,
    StallCause,
    StallEvent,
    TokenGap,
)
from sarathid.protocol.why import (
    BudgetReasons,
    PromiseRecord,
    RequestReasons,
    ServiceRates,
    StallReasons,
    StartPromise,
    WaitReasons,
)
from tests.sarathictl.records import make_info, make_request_status, make_settings

PLAN = BudgetPlan(
    bound=BudgetBound.TARGET, planned_s=0.085, limit_s=0.07, decode_s=0.027, correction=1.08, headroom=0.86
)


def make_budget_reasons(mode: BudgetMode = BudgetMode.ADAPTIVE, **changed: Any) -> BudgetReasons:
    """Return the reasons of a budget of 612 tokens; in another mode than adaptive there is no plan."""
    reasons = BudgetReasons(
        engine=make_info(),
        settings=msgspec.structs.replace(make_settings(128, revision=3), budget_mode=mode),
        token_budget=612,
        plan=PLAN if mode is BudgetMode.ADAPTIVE else None,
        num_decodes=41,
        age_s=0.02,
        num_by_bound={BudgetBound.TARGET: 62, BudgetBound.DEMAND: 30, BudgetBound.USE: 8},
        window_s=60.0,
        num_tbts=4300,
        num_late=12,
        prediction_error=PredictionError(window_s=60.0, count=900, p50=0.031, p95=0.12),
        overload=None,
        promises=PromiseRecord(count=0, median_error_s=None),
    )
    return msgspec.structs.replace(reasons, **changed)


def make_wait(**changed: Any) -> WaitReasons:
    """Return what the third of seven waits for: 2,000 prompt tokens ahead of it."""
    wait = WaitReasons(
        position=3,
        num_waiting=7,
        head=make_request_status(48, RequestState.WAITING),
        blocked_by=Blocker.BUDGET,
        num_running=44,
        num_blocks_free=12,
        num_blocks_promised=5,
        num_blocks_needed=40,
        num_tokens_ahead=2000,
        num_ends_ahead=0,
        rates=ServiceRates(window_s=30.0, prefill_tokens_per_s=610.0, ends_per_s=1.3, tbt_s=0.03),
        starts_in_s=2000 / 610,
        promise=StartPromise(age_s=0.0, due_s=2000 / 610),
    )
    return msgspec.structs.replace(wait, **changed)


def make_stall_reasons(tbt_s: float = 0.412, **changed: Any) -> StallReasons:
    """Return a gap of 412 ms, nearly all of it a chunk of request 31."""
    stall = StallEvent(
        iteration=88_214,
        time_s=1.0,
        target_s=0.1,
        victims=(TokenGap(17, 0.412), TokenGap(9, 0.3)),
        cause=StallCause.PREFILL,
        parts={
            StallCause.DECODE: 0.027,
            StallCause.PREFILL: 0.382,
            StallCause.OVERHEAD: 0.002,
            StallCause.UNEXPLAINED: 0.001,
        },
        chunk=ChunkStats(31, 0, 2007, 7211),
        chunk_iteration=88_214,
        preventing_budget=384,
    )
    reasons = StallReasons(age_s=3.2, tbt_s=tbt_s, stall=stall, policy="stall-free", preventing_budget=384)
    return msgspec.structs.replace(reasons, **changed)


def make_request_reasons(state: RequestState = RequestState.DECODE, **changed: Any) -> RequestReasons:
    """Return what is known of request 17, which has not ended and waits for nothing."""
    reasons = RequestReasons(
        engine=make_info(),
        slo=SLO(tbt_s=0.1, ttft_s=2.0),
        is_engine_ready=True,
        plan=PLAN,
        status=make_request_status(17, state),
        ended=None,
        ended_age_s=None,
        wait=None,
        kept_promise=None,
        stalls=(),
    )
    return msgspec.structs.replace(reasons, **changed)
