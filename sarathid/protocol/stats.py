"""The records of the stats stream: a batch before and after it runs, a request when it comes and ends, events."""

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from sarathid.protocol.changes import ChangeNote
from sarathid.protocol.requests import FinishReason, PrefillOrder
from sarathid.protocol.slo import SLO, BudgetChoice, BudgetMode, OverloadMode, mode_of

MAX_STAGES = 256


class Topic(StrEnum):
    """The first frame of a record on `stats.sock`."""

    SCHEDULED = "scheduled"
    ITERATION = "iteration"
    REQUEST = "request"
    EVENT = "event"
    HEARTBEAT = "heartbeat"


class ChunkStats(msgspec.Struct, frozen=True):
    """One request's prefill chunk: tokens [start, start + length) of `num_tokens` to be computed.

    The first chunk of a request begins behind the `num_cached_tokens` that the prefix cache had.
    """

    request_id: int
    start: int
    length: int
    num_tokens: int
    num_cached_tokens: int = 0


class TokenGap(msgspec.Struct, frozen=True, gc=False):
    """One request's TBT: seconds between its previous token and the one of this iteration."""

    request_id: int
    tbt_s: float


class FirstToken(msgspec.Struct, frozen=True, gc=False):
    """One request's TTFT: seconds from arrival to its first token, never overwritten later."""

    request_id: int
    ttft_s: float


class Blocker(StrEnum):
    """Why the oldest waiting request was not started in an iteration."""

    SEQUENCES = "sequences"
    BLOCKS = "blocks"
    PREEMPTION = "preemption"
    BUDGET = "budget"
    HOLD = "hold"


class BudgetBound(StrEnum):
    """What kept an iteration from getting more prefill tokens."""

    DEMAND = "demand"  # nothing: no prompt wanted more
    FIXED = "fixed"  # a number of tokens
    TARGET = "target"  # the time that the tightest decode may still take
    USE = "use"  # a longer iteration would gain little and hold every answer up
    MOST = "most"  # the most tokens that an iteration may have
    FLOOR = "floor"  # nothing fits; so many run all the same, so that prompts get on
    HOLD = "hold"  # the decodes alone would miss the target with one request more


class BudgetPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How an adaptive budget came about.

    `planned_s` is the time between tokens that is planned for, the share `headroom` of the target less what scheduling
    takes; `limit_s` what of it this batch might take, None without decodes. `decode_s` is what its decodes take alone,
    by prediction, and `correction` what the cost model's own prediction is multiplied by.
    """

    bound: BudgetBound
    planned_s: float
    limit_s: float | None
    decode_s: float
    correction: float
    headroom: float


class IterationScheduled(msgspec.Struct, frozen=True, kw_only=True, tag="scheduled"):
    """What is about to run: sent before the batch is executed, so that a hang has a name."""

    sequence_number: int
    start_s: float
    token_budget: int
    num_decode_tokens: int
    chunks: tuple[ChunkStats, ...]
    predicted_s: float | None = None
    plan: BudgetPlan | None = None
    blocked_by: Blocker | None = None


class StageTime(msgspec.Struct, frozen=True, gc=False):
    """One pipeline stage in one iteration: it began at `start_s` (monotonic) and was busy for `busy_s`.

    Busy is a stage from when it has the batch's input until it can take the next batch. `bubble_s` is how long it had
    been idle before `start_s` although the engine had work: since it was done with the iteration before, or since there
    was work again. It waited for the stage before it, for a batch to be put together, or, the only one, for its host.
    """

    start_s: float
    busy_s: float
    bubble_s: float


class IterationStats(msgspec.Struct, frozen=True, kw_only=True, tag="iteration"):
    """One iteration, from the moment scheduling began (`start_s`, monotonic) to its tokens' hand-over.

    The iteration ends at `start_s + schedule_s + execute_s + emit_s`. `gc_s` is the garbage
    collector's share of it; `idle_s` the time between the end of the iteration before and
    `start_s` while there was work, which is the engine's own overhead. `num_preempted` counts
    requests that wait to be resumed, `preempted` names those dropped in this iteration.
    `predicted_s` is what the cost model expected of `execute_s`, `predicted_decode_s` what it expected
    of the same iteration without its chunks; None while there is no model. `token_budget` is what an iteration of
    this kind may have; `plan` says why, None for a budget in tokens. `blocked_by` is why the oldest waiting request did
    not start, None if nobody waits. `stages` tells of each stage of the pipeline, the first one first; there is one
    without a pipeline.
    """

    sequence_number: int
    start_s: float
    schedule_s: float
    execute_s: float
    emit_s: float
    idle_s: float
    gc_s: float
    policy: str
    revision: int
    token_budget: int
    num_decode_tokens: int
    chunks: tuple[ChunkStats, ...]
    num_running: int
    num_waiting: int
    num_preempted: int
    preempted: tuple[int, ...]
    num_blocks_used: int
    num_blocks_free: int
    gaps: tuple[TokenGap, ...]
    first_tokens: tuple[FirstToken, ...]
    finished: tuple[int, ...]
    predicted_s: float | None = None
    predicted_decode_s: float | None = None
    plan: BudgetPlan | None = None
    blocked_by: Blocker | None = None
    stages: Annotated[tuple[StageTime, ...], Meta(max_length=MAX_STAGES)] = ()

    @property
    def num_prefill_tokens(self) -> int:
        return sum(chunk.length for chunk in self.chunks)

    @property
    def num_cached_tokens(self) -> int:
        """Tokens that the requests which it started needed not compute."""
        return sum(chunk.num_cached_tokens for chunk in self.chunks)

    @property
    def bound(self) -> BudgetBound:
        """What kept it from more prefill tokens; a budget in tokens did where it cut a prompt or held one back."""
        if self.plan is not None:
            return self.plan.bound
        is_cut = any(chunk.start + chunk.length < chunk.num_tokens for chunk in self.chunks)
        return BudgetBound.FIXED if is_cut or self.blocked_by is Blocker.BUDGET else BudgetBound.DEMAND

    @property
    def scheduled(self) -> IterationScheduled:
        """What was known of it before it ran."""
        return IterationScheduled(
            sequence_number=self.sequence_number,
            start_s=self.start_s,
            token_budget=self.token_budget,
            num_decode_tokens=self.num_decode_tokens,
            chunks=self.chunks,
            predicted_s=self.predicted_s,
            plan=self.plan,
            blocked_by=self.blocked_by,
        )

    @property
    def duration_s(self) -> float:
        return self.schedule_s + self.execute_s + self.emit_s

    @property
    def tokens_s(self) -> float:
        """When its tokens came, which gaps are measured by."""
        return self.start_s + self.schedule_s + self.execute_s

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s


class RequestArrival(msgspec.Struct, frozen=True, kw_only=True, tag="arrival"):
    """A request was taken in, at `arrival_s`; it waits until an iteration computes a chunk of it.

    `owner` is the user or the key that its client is known by; of one owner's, those of the least `priority` go first.
    """

    request_id: int
    client: str
    arrival_s: float
    num_prompt_tokens: int
    max_tokens: int | None
    owner: str = ""
    priority: int = 0


class RequestStats(msgspec.Struct, frozen=True, kw_only=True, tag="request"):
    """The life of one request, told when it ended.

    `scheduled_s`, `first_token_s` are monotonic moments, None if they never came. Generated gaps are
    measured in the engine; delivered gaps where the daemon wrote the token to the client's socket
    (empty percentiles are None: fewer than two tokens). `num_cached_tokens` of the prompt were in the prefix cache
    when it first started.
    """

    request_id: int
    client: str
    arrival_s: float
    scheduled_s: float | None
    first_token_s: float | None
    finished_s: float
    finish_reason: FinishReason
    num_prompt_tokens: int
    num_output_tokens: int
    num_preemptions: int
    num_recomputed_tokens: int
    num_stalls: int
    tbt_p50_s: float | None
    tbt_max_s: float | None
    delivered_tbt_p50_s: float | None = None
    delivered_tbt_max_s: float | None = None
    num_cached_tokens: int = 0

    @property
    def ttft_s(self) -> float | None:
        return None if self.first_token_s is None else self.first_token_s - self.arrival_s


class StallCause(StrEnum):
    """What a TBT above the target is mostly made of."""

    PREFILL = "prefill"
    PREEMPTION = "preemption"  # it lost its blocks: others ran, or what they held was computed again
    KV_WAIT = "kv-wait"  # for blocks, after it had lost its own
    GARBAGE_COLLECTION = "garbage-collection"  # of the engine's process
    OVERHEAD = "overhead"  # the engine between iterations: taking commands, scheduling, telling
    DECODE = "decode"
    BUBBLE = "bubble"  # batches of a pipeline waited for each other
    ENGINE_PAUSE = "engine-pause"  # its process was stopped
    RESTART = "restart"
    EVENT_LOOP = "event-loop"  # the daemon was slow to pass a token on
    DAEMON_PAUSE = "daemon-pause"
    SLOW_READER = "slow-reader"  # the client did not read what was written to it
    UNEXPLAINED = "unexplained"


class StallEvent(msgspec.Struct, frozen=True, kw_only=True, tag="stall"):
    """The TBTs above the target that ended in one iteration, for one cause, and what they were made of.

    `victims` are worst first. `parts` splits the worst gap into seconds by cause; they add up to it.
    `chunk` is the prefill chunk that cost most of the gap, None where none ran in it. A stall `is_delivery` where the
    gap lies between tokens that were written to a client, each of which the engine may have made in time.
    `preventing_budget` is the largest token budget under which the worst gap would have met the target, None where no
    budget would have or the records don't tell; it takes a policy that cuts prompts.
    """

    iteration: int
    time_s: float
    target_s: float
    victims: tuple[TokenGap, ...]
    cause: StallCause
    parts: dict[StallCause, float]
    chunk: ChunkStats | None = None
    chunk_iteration: int | None = None
    is_delivery: bool = False
    preventing_budget: int | None = None

    @property
    def worst_gap_s(self) -> float:
        return self.victims[0].tbt_s


class Overload(msgspec.Struct, frozen=True, kw_only=True, tag="overload"):
    """The decodes alone came to miss the target, or no longer do.

    So many decodes would take `decode_s` without any prefill, where `planned_s` is what is planned for; of their kind,
    `most_decodes` would fit.
    """

    time_s: float
    iteration: int
    is_overloaded: bool
    num_decodes: int
    most_decodes: int
    decode_s: float
    planned_s: float


class SettingsChanged(ChangeNote, frozen=True, kw_only=True, tag="settings"):
    """A retuning, in force from `iteration` on."""

    time_s: float
    iteration: int
    revision: int
    token_budget: int
    policy: str
    slo: SLO
    budget_mode: BudgetMode = BudgetMode.FIXED
    is_target_set: bool = True

    @property
    def settings(self) -> "EngineSettings":
        """The settings that it put in force."""
        return EngineSettings(
            revision=self.revision,
            token_budget=self.token_budget,
            policy=self.policy,
            slo=self.slo,
            budget_mode=self.budget_mode,
            is_target_set=self.is_target_set,
        )


class LifeCycle(msgspec.Struct, frozen=True, kw_only=True, tag="life-cycle"):
    """The daemon or its engine changed state; `message` says why in words."""

    time_s: float
    state: str
    message: str


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """Sent every second in which nothing else was."""

    time_s: float
    state: str


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What can be changed while the engine runs.

    `token_budget` is in force when the mode is fixed or profiled. Adaptive, it is what iterations get while
    there is no target or not enough is known to predict their time. Where not `is_target_set` by somebody, `slo.tbt_s`
    is what an engine has by default.
    """

    revision: int
    token_budget: int
    policy: str
    slo: SLO
    budget_mode: BudgetMode = BudgetMode.FIXED
    is_target_set: bool = True

    @property
    def budget(self) -> BudgetChoice:
        """The choice that these settings came from."""
        if self.budget_mode is BudgetMode.FIXED:
            return self.token_budget
        return "auto" if self.budget_mode is BudgetMode.ADAPTIVE else "profiled"

    def changed(self, budget: BudgetChoice | None, policy: str | None, slo: SLO | None) -> "EngineSettings":
        """Return the next revision, with other values for what is not None; an engine chooses a profiled budget."""
        budget = self.budget if budget is None else budget
        return EngineSettings(
            revision=self.revision + 1,
            token_budget=budget if isinstance(budget, int) else self.token_budget,
            policy=self.policy if policy is None else policy,
            slo=self.slo if slo is None else slo,
            budget_mode=mode_of(budget),
            is_target_set=self.is_target_set or (slo is not None and slo.tbt_s != self.slo.tbt_s),
        )

    def overload(self, mode: OverloadMode) -> OverloadMode:
        """Return what becomes of new requests by a mode, which may leave that to whether somebody set the target."""
        if mode is not OverloadMode.AUTO:
            return mode
        return OverloadMode.HOLD if self.is_target_set else OverloadMode.ADMIT


class WeightsOrigin(StrEnum):
    """How an engine came by its weights; of several ranks', the slowest way."""

    CONVERTED = "converted"  # from the model's files, into a format to be kept for the next start
    READ = "read"  # as the model's files have them, which need not be kept twice
    MAPPED = "mapped"  # as an earlier start converted and kept them


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True, tag="engine-info"):
    """What runs, where and how large: fixed from the start of one engine process to its end.

    New requests leave `num_watermark_blocks` free for those that run. The device rounds an iteration up to whole tiles
    of `tile` tokens. Iterations are predicted by the cost profile of that name, "" without one. `weights_fault` says
    what was wrong with the converted weights that were kept, or why they can't be.
    """

    engine_pid: int
    model: str
    device: str
    dtype: str
    layout: str
    attention_backend: str
    num_blocks: int
    block_size: int
    kv_cache_bytes: int
    weight_bytes: int
    vocab_size: int
    max_model_len: int
    max_num_seqs: int
    min_token_budget: int
    max_token_budget: int
    isolated_decode_s: float
    num_threads: int
    num_watermark_blocks: int = 0
    tile: int = 1
    cost_profile: str = ""
    overload: OverloadMode = OverloadMode.HOLD
    prefill_order: PrefillOrder = PrefillOrder.ARRIVAL
    weights_origin: WeightsOrigin = WeightsOrigin.READ
    weights_fault: str = ""
    notes: tuple[str, ...] = ()


Event: TypeAlias = StallEvent | Overload | SettingsChanged | LifeCycle
StreamRecord: TypeAlias = (
    IterationScheduled
    | IterationStats
    | RequestArrival
    | RequestStats
    | StallEvent
    | Overload
    | SettingsChanged
    | LifeCycle
    | Heartbeat
)
