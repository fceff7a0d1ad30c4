"""One iteration in the making: the primitives that every policy is written in."""

from bisect import insort
from collections.abc import Iterator

from sarathid.kvcache.manager import KVCacheManager
from sarathid.kvcache.prefix_cache import NOTHING_CACHED, CachedPrefix
from sarathid.protocol.stats import Blocker
from sarathid.scheduler.batch import ScheduledBatch, ScheduledSequence
from sarathid.scheduler.decode_load import DecodeLoad
from sarathid.scheduler.fair_share import Ledger
from sarathid.scheduler.micro_batches import MicroBatches
from sarathid.scheduler.prefill_order import Urgency, by_arrival
from sarathid.scheduler.sequence import Sequence
from sarathid.scheduler.token_budget import TokenBudget
from sarathid.scheduler.waiting_queue import WaitingQueue

_ONE_BATCH = MicroBatches()


class BatchPlan:
    """Collects decodes and chunks, takes their blocks, and preempts where blocks run out.

    `running` is oldest first. Who awaits a token of a batch in flight, in a pipeline, sits this one out, unless this
    one `runs_ahead`, right behind that batch on the same device; the next chunk of a prompt follows the one before it.
    Three rules keep everybody moving: decodes preempt the youngest, prompts preempt only younger prompts, never a
    decode, and nothing is admitted in an iteration that preempted. Who is in flight may be preempted, since its blocks
    are written anew only behind the batches that it is in. `blocked_by` is what the first waiting request was not
    started for, None if nobody waits.
    """

    def __init__(
        self,
        running: list[Sequence],
        waiting: WaitingQueue,
        kv_cache: KVCacheManager,
        ledger: Ledger,
        *,
        max_num_seqs: int,
        max_num_tokens: int,
        max_model_len: int,
        num_watermark_blocks: int,
        urgency: Urgency = by_arrival,
        micro_batches: MicroBatches = _ONE_BATCH,
        runs_ahead: bool = False,
    ) -> None:
        self._running = running
        self._waiting = waiting
        self._kv_cache = kv_cache
        self._ledger = ledger
        self._max_num_seqs = max_num_seqs
        self._num_watermark_blocks = num_watermark_blocks
        self._urgency = urgency
        self._micro_batches = micro_batches
        self._runs_ahead = runs_ahead
        self._decodes: list[ScheduledSequence] = []
        self._chunks: list[ScheduledSequence] = []
        self._preempted: list[int] = []
        self.blocked_by: Blocker | None = None
        self.max_num_tokens = max_num_tokens
        self.max_model_len = max_model_len

    @property
    def is_empty(self) -> bool:
        return not (self._decodes or self._chunks)

    def take_decodes(self, budget: TokenBudget) -> None:
        """Schedule one token of every running decode, or of a batch's share of them, whatever the budget has left."""
        context, last_tokens_s, runs_ahead = 0, set[float | None](), self._runs_ahead
        for sequence in self._micro_batches.share(self._running):
            if not (sequence.is_decoding or (runs_ahead and sequence.can_run_ahead)):
                continue  # preempted for one before it
            num_tokens = sequence.num_computed_tokens + 1
            if sequence.block_table.capacity < num_tokens and not self._make_room(sequence, num_tokens):
                continue
            last_tokens_s.add(None if sequence.num_awaited_tokens else sequence.last_token_s)
            self._decodes.append(sequence.schedule_decode())
            context += num_tokens
        budget.charge_decodes(DecodeLoad(len(self._decodes), context, last_tokens_s))

    def spare_decodes(self, budget: TokenBudget) -> None:
        """Keep every running decode out of this iteration, which is not to make them late."""
        ahead = [each for each in self._running if self._runs_ahead and each.can_run_ahead]
        budget.spare_decodes(DecodeLoad.of([*ahead, *(each for each in self._running if each.is_decoding)]))

    def continue_prompts(self, budget: TokenBudget) -> None:
        """Schedule the next chunk of every admitted prompt that is not computed yet.

        Those of the owner that was charged least come first, and of these the most urgent.
        """
        prompts = [running for running in self._running if running.has_prompt_left]
        for sequence in sorted(prompts, key=lambda prompt: (prompt.account.num_charged, self._urgency(prompt))):
            if budget.is_spent:
                return
            if sequence.request_id not in self._preempted:
                num_possible = min(sequence.num_uncomputed_tokens, self._room_for_chunk(sequence))
                if num_possible and (num_granted := budget.take(sequence, num_possible)):
                    self._schedule_chunk(sequence, num_granted)

    def admit_owed(self, budget: TokenBudget) -> None:
        """Start a waiting request of an owner that has no prompt here and was charged less than all that have.

        So a prompt that takes many iterations holds up nobody but its owner for longer than one.
        """
        while (sequence := self._waiting.head) is not None and self._is_owed(sequence):
            if not self._start(sequence, budget, sequence.num_tokens, self._num_watermark_blocks):
                return

    def admit(self, budget: TokenBudget) -> None:
        """Start waiting requests in their order while sequences, blocks and budget allow; never skip one."""
        while (sequence := self._waiting.head) is not None:
            if not self._start(sequence, budget, sequence.num_tokens, self._num_watermark_blocks):
                return

    def admit_reserving(self, budget: TokenBudget) -> None:
        """Like `admit`, but each takes the blocks of the longest context at once, and no watermark is kept."""
        while (sequence := self._waiting.head) is not None:
            if not self._start(sequence, budget, self.max_model_len, 0):
                return

    def build(self) -> ScheduledBatch:
        """Return the iteration, decodes first."""
        return ScheduledBatch(
            decodes=tuple(self._decodes), chunks=tuple(self._chunks), preempted=tuple(self._preempted)
        )

    def _is_owed(self, sequence: Sequence) -> bool:
        if not self._ledger.is_shared:
            return False
        accounts = {running.account for running in self._running if running.has_prompt_left}
        charged = [account.num_charged for account in accounts]
        return bool(accounts) and sequence.account not in accounts and sequence.account.num_charged <= min(charged)

    def _start(self, sequence: Sequence, budget: TokenBudget, num_reserved: int, num_watermark_blocks: int) -> bool:
        """Start the head of the waiting with blocks for so many tokens; return whether that was possible."""
        self.blocked_by = self._blocker(sequence, num_reserved, num_watermark_blocks)
        if self.blocked_by is None and budget.is_spent:
            self.blocked_by = Blocker.BUDGET
        if self.blocked_by is not None:
            return False
        prefix = self._find_prefix(sequence)
        sequence.num_computed_tokens = prefix.num_tokens
        num_granted = budget.take(sequence, sequence.num_uncomputed_tokens)
        if num_granted == 0:
            sequence.num_computed_tokens = 0
            self.blocked_by = Blocker.BUDGET
            return False
        self._waiting.remove(sequence)
        self._kv_cache.adopt(sequence.block_table, sequence.names, prefix)
        sequence.start_behind(prefix)
        if num_reserved > sequence.num_tokens:
            self._kv_cache.grow(sequence.block_table, num_reserved)
        insort(self._running, sequence, key=_order)
        self._schedule_chunk(sequence, num_granted)
        return True

    def _find_prefix(self, sequence: Sequence) -> CachedPrefix:
        if sequence.request.sampling.prompt_logprobs is not None:
            return NOTHING_CACHED  # the logits of all its tokens are wanted
        return self._kv_cache.find_prefix(sequence.names, sequence.token_ids)

    def _schedule_chunk(self, sequence: Sequence, num_tokens: int) -> None:
        has_blocks = self._kv_cache.grow(sequence.block_table, sequence.num_computed_tokens + num_tokens)
        assert has_blocks, "a sequence was granted more tokens than there are blocks"
        self._chunks.append(sequence.schedule_chunk(num_tokens))
        sequence.settle()

    def _make_room(self, sequence: Sequence, num_tokens: int) -> bool:
        while not self._kv_cache.grow(sequence.block_table, num_tokens):
            victim = next(self._youngest_first())  # at last the sequence itself
            self._preempt(victim)
            if victim is sequence:
                return False
        return True

    def _room_for_chunk(self, sequence: Sequence) -> int:
        def may_yield(other: Sequence) -> bool:
            return other.order > sequence.order and other.has_prompt_left

        while (num_tokens := self._kv_cache.max_tokens(sequence.block_table) - sequence.num_computed_tokens) <= 0:
            victim = next(filter(may_yield, self._youngest_first()), None)
            if victim is None:
                return 0
            self._preempt(victim)
        return num_tokens

    def _youngest_first(self) -> Iterator[Sequence]:
        """Yield those running that this batch has not taken."""
        taken = {scheduled.request_id for scheduled in (*self._decodes, *self._chunks)}
        return (sequence for sequence in reversed(self._running) if sequence.request_id not in taken)

    def _preempt(self, victim: Sequence) -> None:
        self._kv_cache.release(victim.block_table)
        self._running.remove(victim)
        victim.restart()
        self._waiting.add(victim)
        self._preempted.append(victim.request_id)

    def _blocker(self, sequence: Sequence, num_tokens: int, num_watermark_blocks: int) -> Blocker | None:
        """Return what keeps a waiting sequence, with room for `num_tokens`, from running beside those that do."""
        if self._preempted or sequence.awaits_token:
            return Blocker.PREEMPTION
        if len(self._running) >= self._max_num_seqs:
            return Blocker.SEQUENCES
        if not self._running:
            return None  # whatever was accepted fits into an empty cache
        num_promised = sum(running.block_table.num_missing(running.num_tokens) for running in self._running)
        num_needed = self._kv_cache.num_blocks_for(num_tokens) + num_promised
        num_spare = self._kv_cache.num_free_blocks - num_needed - num_watermark_blocks
        if num_spare < 0:
            num_spare += self._kv_cache.num_in_use(self._find_prefix(sequence))
        return None if num_spare >= 0 else Blocker.BLOCKS


def _order(sequence: Sequence) -> int:
    return sequence.order
