"""Who runs in the next iteration, and what its tokens change."""

from dataclasses import dataclass, field
from itertools import zip_longest

from sarathid.errors import RequestRefused
from sarathid.kvcache.block_ledger import BlockLedger
from sarathid.kvcache.manager import KVCacheManager
from sarathid.kvcache.prefix_cache import PrefixCache
from sarathid.protocol.logprobs import TokenLogprobs
from sarathid.protocol.requests import FinishReason, PrefillOrder, Request
from sarathid.protocol.stats import Blocker
from sarathid.protocol.step import TokenDelta
from sarathid.scheduler.batch import Drawn, ScheduledBatch
from sarathid.scheduler.fair_share import Ledger
from sarathid.scheduler.micro_batches import MicroBatches
from sarathid.scheduler.plan import BatchPlan
from sarathid.scheduler.policies.registry import Policy
from sarathid.scheduler.prefill_order import REQUESTS_PER_PRIORITY, URGENCIES
from sarathid.scheduler.sequence import Sequence
from sarathid.scheduler.token_budget import TokenBudget
from sarathid.scheduler.waiting_queue import WaitingQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerLimits:
    """What the engine was built for; `max_num_tokens` bounds an iteration of whole prompts.

    `watermark` is the share of all blocks that admission leaves free, so that running decodes can
    grow before anybody is preempted. With a `sliding_window` a token sees so many positions, its own
    included, and blocks that no token will see again are given back. With `has_prefix_cache` a request goes on behind
    the blocks that others of its salt have filled with the same tokens. With `runs_ahead` a batch may be put together
    before the tokens that its decodes begin with are drawn.
    """

    num_blocks: int
    block_size: int
    max_model_len: int
    max_num_seqs: int
    max_num_tokens: int
    eos_token_ids: frozenset[int]
    watermark: float = 0.01
    sliding_window: int | None = None
    has_prefix_cache: bool = False
    prefill_order: PrefillOrder = PrefillOrder.ARRIVAL
    micro_batches: MicroBatches = field(default_factory=MicroBatches)
    runs_ahead: bool = False

    def __post_init__(self) -> None:
        assert self.max_model_len <= self.num_blocks * self.block_size, "one full context must fit into the cache"


class Scheduler:
    """Keeps running and waiting sequences; a policy fills each iteration's plan from them.

    The prefix cache, if there is one, begins with the blocks of `ledger`.
    """

    def __init__(self, limits: SchedulerLimits, policy: Policy, ledger: BlockLedger | None = None) -> None:
        self.limits = limits
        self.policy = policy
        prefix_cache = None
        if limits.has_prefix_cache:
            prefix_cache = PrefixCache(limits.block_size, limits.sliding_window, ledger)
        self.kv_cache = KVCacheManager(limits.num_blocks, limits.block_size, prefix_cache)
        self._num_watermark_blocks = int(limits.watermark * limits.num_blocks)
        self._running: list[Sequence] = []
        self._urgency = URGENCIES[limits.prefill_order]
        self._waiting = WaitingQueue(self._urgency)
        self._ledger = Ledger()
        self._sequences: dict[int, Sequence] = {}
        self._num_added = 0
        self.blocked_by: Blocker | None = None

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def fullness(self) -> float:
        """Share of the sequences or of the blocks that are taken, whichever is more."""
        num_used = self.kv_cache.num_used_blocks
        return max(len(self._running) / self.limits.max_num_seqs, num_used / self.limits.num_blocks)

    @property
    def num_preempted(self) -> int:
        return self._waiting.num_preempted

    @property
    def deficits(self) -> dict[str, int]:
        """How many tokens each owner that waits had less than the one that had most; {} while only one has requests."""
        return self._ledger.deficits(self._waiting.accounts)

    @property
    def has_work(self) -> bool:
        return bool(self._sequences)

    @property
    def can_run_ahead(self) -> bool:
        """Whether the next batch can be put together now, though tokens are awaited.

        Where one of them decides how the next is drawn, by a grammar or a penalty, all wait for it: who would be left
        out would run in every other iteration alone.
        """
        return not any(sequence.num_awaited_tokens and sequence.needs_history for sequence in self._running)

    def __getitem__(self, request_id: int) -> Sequence:
        return self._sequences[request_id]

    def add(self, request: Request) -> Sequence:
        """Take in a request behind those that its owner sent before, but for its priority; return its sequence.

        Raises `RequestRefused` when its tokens leave no room for one more in the longest context, so
        that it could never finish.
        """
        num_tokens = len(request.prompt_token_ids) + len(request.output_token_ids)
        if not request.prompt_token_ids:
            raise RequestRefused("the prompt is empty; send at least one token", param="prompt")
        if num_tokens >= self.limits.max_model_len:
            raise RequestRefused(
                f"the prompt has {num_tokens} tokens and the longest context is {self.limits.max_model_len}, "
                "which must also hold the answer; shorten the prompt",
                param="prompt",
            )
        assert request.request_id not in self._sequences
        limits = self.limits
        account = self._ledger.enter(request.owner)
        self._settle()
        sequence = Sequence(
            request,
            self._num_added,
            limits.max_model_len,
            self.kv_cache.new_table(),
            limits.eos_token_ids,
            account,
            account.num_arrivals + REQUESTS_PER_PRIORITY * request.priority,
        )
        self._num_added += 1
        self._sequences[request.request_id] = sequence
        self._waiting.add(sequence)
        return sequence

    def cancel(self, request_id: int) -> bool:
        """Drop a request and free its blocks; what batches in flight give for it is dropped with it.

        Returns whether it was known. Unknown ids are none of our business: they ended already.
        """
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return False
        self._forget(sequence)
        return True

    def schedule(self, budget: TokenBudget) -> ScheduledBatch:
        """Return the next iteration, empty if nobody can run; its tokens count as computed from now on."""
        self._settle()
        plan = BatchPlan(
            self._running,
            self._waiting,
            self.kv_cache,
            self._ledger,
            max_num_seqs=self.limits.max_num_seqs,
            max_num_tokens=self.limits.max_num_tokens,
            max_model_len=self.limits.max_model_len,
            num_watermark_blocks=self._num_watermark_blocks,
            urgency=self._urgency,
            micro_batches=self.limits.micro_batches,
            runs_ahead=self.limits.runs_ahead,
        )
        self.policy(plan, budget)
        self.blocked_by = plan.blocked_by
        return plan.build()

    def update(self, batch: ScheduledBatch, drawn: Drawn) -> tuple[TokenDelta, ...]:
        """Apply what an iteration gave.

        Returns one delta for each new token; a request that was preempted in flight gets its token all the same, one
        that was cancelled gets none. A request whose row gave None (its logits were not numbers) ends with an error.
        """
        deltas: list[TokenDelta] = []
        rows = zip_longest(drawn.token_ids, drawn.logprobs)
        window = self.limits.sliding_window
        for scheduled in batch.sequences:
            token_id, logprobs = next(rows) if scheduled.sampling is not None else (None, None)
            sequence = self._sequences.get(scheduled.request_id)
            if sequence is None:
                continue
            num_computed = sequence.num_computed_tokens
            if sequence.num_awaited_tokens > 1:  # the last one computed may be one that is not drawn yet
                num_computed = min(num_computed, len(sequence.token_ids))
            self.kv_cache.store(sequence.block_table, sequence.names, sequence.token_ids, num_computed)
            if window is not None:
                self.kv_cache.forget(sequence.block_table, sequence.num_computed_tokens + 1 - window)
            if scheduled.sampling is not None:
                deltas.append(self._advance(sequence, token_id, logprobs))
        return tuple(deltas)

    def check_integrity(self) -> None:
        """Raise AssertionError unless every block is accounted for; with no request left, all are free."""
        self.kv_cache.check_integrity(sequence.block_table for sequence in self._sequences.values())

    def _settle(self) -> None:
        """Charge every owner up to now, if there are several; one alone is charged when its requests end."""
        if self._ledger.is_shared:
            for sequence in self._running:
                sequence.settle()

    def _advance(self, sequence: Sequence, token_id: int | None, logprobs: TokenLogprobs | None) -> TokenDelta:
        if token_id is None:
            self.kv_cache.distrust(sequence.block_table)
            self._forget(sequence)
            return TokenDelta(sequence.request_id, None, FinishReason.ERROR)
        finish_reason = sequence.append(token_id)
        if finish_reason is not None:
            self._forget(sequence)
        return TokenDelta(sequence.request_id, token_id, finish_reason, logprobs)

    def _forget(self, sequence: Sequence) -> None:
        del self._sequences[sequence.request_id]
        sequence.settle()
        self._ledger.leave(sequence.account)
        self.kv_cache.release(sequence.block_table)
        if sequence in self._running:
            self._running.remove(sequence)
        else:
            self._waiting.remove(sequence)
