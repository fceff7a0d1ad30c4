"""What the daemon answers when asked why: the budget's reasons, and those of a request that waits or stalled."""

import msgspec

from sarathid.protocol.control import PredictionError, RequestStatus
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import (
    Blocker,
    BudgetBound,
    BudgetPlan,
    EngineInfo,
    EngineSettings,
    Overload,
    RequestStats,
    StallEvent,
)


class PromiseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How well the latest `count` promises of a start came true: half of them within `median_error_s` seconds."""

    count: int
    median_error_s: float | None


class BudgetReasons(msgspec.Struct, frozen=True, kw_only=True):
    """Why the budget is what it is.

    `token_budget`, `plan` and `num_decodes` are those of the latest iteration, which ended `age_s` ago, None before
    the first. `num_by_bound` counts what bound the latest iterations. Of `num_tbts` times between tokens in the last
    `window_s` seconds `num_late` were above the target. `overload` is the one that lasts.
    """

    engine: EngineInfo
    settings: EngineSettings
    token_budget: int
    plan: BudgetPlan | None
    num_decodes: int
    age_s: float | None
    num_by_bound: dict[BudgetBound, int]
    window_s: float
    num_tbts: int
    num_late: int
    prediction_error: PredictionError
    overload: Overload | None
    promises: PromiseRecord


class ServiceRates(msgspec.Struct, frozen=True, kw_only=True):
    """How fast requests were served over the last `window_s` seconds; None where nothing was seen.

    `prefill_tokens_per_s` is while prompts ran, `ends_per_s` counts requests that had run, `tbt_s` is the mean.
    """

    window_s: float
    prefill_tokens_per_s: float | None
    ends_per_s: float
    tbt_s: float | None


class StartPromise(msgspec.Struct, frozen=True, kw_only=True):
    """When a request was first said to start: `age_s` ago, for `due_s` seconds from now, below zero if overdue."""

    age_s: float
    due_s: float


class KeptPromise(msgspec.Struct, frozen=True, kw_only=True):
    """A request was said to start `ahead_s` seconds later, and started `late_s` after that, below zero if sooner."""

    request_id: int
    ahead_s: float
    late_s: float


class WaitReasons(msgspec.Struct, frozen=True, kw_only=True):
    """What a request waits for.

    It is the `position`-th of `num_waiting`, from 1. `head` is the first of them, needs `num_blocks_needed` blocks, and
    was kept from starting in the latest iteration by `blocked_by`, None where nothing did. Of `num_blocks_free` blocks
    `num_blocks_promised` belong to prompts that run. Before the request starts, `num_tokens_ahead` prompt tokens are to
    be computed and `num_ends_ahead` requests have to end; `starts_in_s` is what follows from the rates, None where they
    tell nothing. `deficits` are the tokens that each owner who waits is owed, empty while only one has requests.
    """

    position: int
    num_waiting: int
    head: RequestStatus
    blocked_by: Blocker | None
    num_running: int
    num_blocks_free: int
    num_blocks_promised: int
    num_blocks_needed: int
    num_tokens_ahead: int
    num_ends_ahead: int
    rates: ServiceRates
    starts_in_s: float | None
    promise: StartPromise | None
    deficits: dict[str, int] = {}


class StallReasons(msgspec.Struct, frozen=True, kw_only=True):
    """One stall of a request, `age_s` ago, in which it waited `tbt_s`.

    `preventing_budget` is that of the stall, and `policy` the one that was in force.
    """

    age_s: float
    tbt_s: float
    stall: StallEvent
    policy: str | None
    preventing_budget: int | None


class RequestReasons(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request waits, or stalled; exactly one of `status` (it has not ended) and `ended` is set.

    `wait` is set while it waits. `stalls` are newest first.
    """

    engine: EngineInfo | None
    slo: SLO
    is_engine_ready: bool
    plan: BudgetPlan | None
    status: RequestStatus | None
    ended: RequestStats | None
    ended_age_s: float | None
    wait: WaitReasons | None
    kept_promise: KeptPromise | None
    stalls: tuple[StallReasons, ...]
