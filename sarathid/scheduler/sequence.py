"""The mutable life of one request inside the engine."""

from sarathid.kvcache.block_table import BlockTable
from sarathid.kvcache.prefix_cache import BlockNames, CachedPrefix
from sarathid.protocol.requests import FinishReason, Request
from sarathid.scheduler.batch import AWAITED_TOKEN, PromptTargets, SamplingInput, ScheduledSequence
from sarathid.scheduler.fair_share import OUTPUT_WEIGHT, Account


class Sequence:
    """A request's tokens, and how many of them have their keys and values in the cache.

    There is no phase: `num_computed_tokens` catches up with `num_tokens`, by chunks while it is far behind, by one
    token an iteration when it has caught up. Preemption sets it back to zero, and a start to `num_cached_tokens`, what
    others have computed of it. It counts a token from when its batch is put together, since batches run in order: what
    a batch in flight computes is there for the next one. Batches in flight draw its next `num_awaited_tokens` tokens:
    one, or two where it runs ahead. `names` are those of its full blocks. `last_token_s` is the monotonic moment of its
    newest output token, noted by whoever keeps time. `order` counts the requests before it, `place` is where it stands
    among those of its owner, whose `account` was charged for its first `num_charged_tokens`.
    """

    __slots__ = (
        "account",
        "block_table",
        "end_token_ids",
        "last_token_s",
        "max_num_tokens",
        "names",
        "needs_history",
        "num_awaited_tokens",
        "num_cached_tokens",
        "num_charged_tokens",
        "num_computed_tokens",
        "num_preemptions",
        "num_prompt_tokens",
        "num_recomputed_tokens",
        "order",
        "place",
        "request",
        "request_id",
        "token_ids",
    )

    def __init__(
        self,
        request: Request,
        order: int,
        max_model_len: int,
        block_table: BlockTable,
        eos_token_ids: frozenset[int] = frozenset(),
        account: Account | None = None,
        place: int = 0,
    ) -> None:
        """Without an `account` it has one of its own."""
        self.request = request
        self.request_id = request.request_id
        self.num_prompt_tokens = len(request.prompt_token_ids)
        self.order = order
        self.place = place
        self.account = Account(request.owner) if account is None else account
        self.block_table = block_table
        self.names = BlockNames(request.cache_salt, block_table.block_size)
        self.token_ids = [*request.prompt_token_ids, *request.output_token_ids]
        self.num_computed_tokens = 0
        self.num_cached_tokens = 0
        self.num_charged_tokens = 0
        self.num_preemptions = 0
        self.num_recomputed_tokens = 0
        self.num_awaited_tokens = 0
        self.last_token_s: float | None = None
        self.needs_history = request.sampling.needs_history  # asked for each token, and slow to tell
        self.end_token_ids = eos_token_ids.union(request.sampling.stop_token_ids)
        if request.sampling.ignore_eos:
            self.end_token_ids = frozenset(request.sampling.stop_token_ids)
        max_tokens = request.sampling.max_tokens
        wanted = max_model_len if max_tokens is None else self.num_prompt_tokens + max_tokens
        self.max_num_tokens = min(wanted, max_model_len)

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)

    @property
    def num_output_tokens(self) -> int:
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_uncomputed_tokens(self) -> int:
        return len(self.token_ids) - self.num_computed_tokens

    @property
    def is_decoding(self) -> bool:
        """Whether its next iteration is one token long and gives the next one."""
        return self.num_prompt_tokens <= self.num_computed_tokens == len(self.token_ids) - 1

    @property
    def awaits_token(self) -> bool:
        """Whether a batch in flight draws its next token."""
        return self.num_awaited_tokens > 0

    @property
    def can_run_ahead(self) -> bool:
        """Whether its next iteration is a decode of the token that the batch in flight draws, whichever that is.

        It may be the last by what it is; it is not the last by their number.
        """
        num_tokens = len(self.token_ids)
        return self.num_computed_tokens == num_tokens < self.max_num_tokens - 1 and self.num_awaited_tokens == 1

    @property
    def has_prompt_left(self) -> bool:
        """Whether its next iteration is a chunk; neither this nor a decode is possible while it awaits a token."""
        return self.num_computed_tokens < len(self.token_ids) and not self.is_decoding

    @property
    def is_started(self) -> bool:
        """Whether it holds blocks."""
        return self.block_table.capacity > 0

    def start_behind(self, prefix: CachedPrefix) -> None:
        """Take what its blocks hold already as computed."""
        self.num_computed_tokens = self.num_cached_tokens = prefix.num_tokens
        self.num_recomputed_tokens -= min(prefix.num_tokens, self.num_recomputed_tokens)
        self.num_charged_tokens = max(self.num_charged_tokens, prefix.num_tokens)

    def schedule_decode(self) -> ScheduledSequence:
        """Return the newest token, the only one not computed, as a share of an iteration that draws the next.

        It may be one that is still to be drawn.
        """
        first = self.num_computed_tokens
        scheduled = ScheduledSequence(
            request_id=self.request_id,
            token_ids=(AWAITED_TOKEN if self.num_awaited_tokens else self.token_ids[-1],),
            first_position=first,
            block_ids=self.block_table.block_ids,
            sampling=self._sampling_input(),
            num_output_tokens=1,
        )
        self.num_computed_tokens = first + 1
        self.num_awaited_tokens += 1
        return scheduled

    def schedule_chunk(self, num_tokens: int) -> ScheduledSequence:
        """Return the next `num_tokens` tokens as a share of an iteration.

        It draws a token if they are the last that were not computed.
        """
        first = self.num_computed_tokens
        self.num_computed_tokens = end = first + num_tokens
        is_last = end == len(self.token_ids)
        sampling = self._sampling_input() if is_last else None
        self.num_awaited_tokens += is_last
        return ScheduledSequence(
            request_id=self.request_id,
            token_ids=tuple(self.token_ids[first:end]),
            first_position=first,
            block_ids=self.block_table.block_ids,
            sampling=sampling,
            prompt_targets=self._prompt_targets(first, end),
            num_output_tokens=max(0, end - max(first, self.num_prompt_tokens)),
        )

    def restart(self) -> None:
        """Forget what was computed; the tokens stay, and those that batches in flight draw are still to come."""
        self.num_preemptions += 1
        self.num_recomputed_tokens += self.num_computed_tokens
        self.num_computed_tokens = 0

    def settle(self) -> None:
        """Charge its owner for what was computed since the last time."""
        first, end, num_prompt_tokens = self.num_charged_tokens, self.num_computed_tokens, self.num_prompt_tokens
        if end <= first:
            return
        if first >= num_prompt_tokens:  # a decode, as nearly always
            self.account.num_charged += OUTPUT_WEIGHT * (end - first)
        else:
            self.account.num_charged += end - first + (OUTPUT_WEIGHT - 1) * max(0, end - num_prompt_tokens)
        self.num_charged_tokens = end

    def append(self, token_id: int) -> FinishReason | None:
        """Add a sampled token; return why it is the last one, or None."""
        self.num_awaited_tokens -= 1
        self.token_ids.append(token_id)
        if token_id in self.end_token_ids:
            return FinishReason.STOP
        if len(self.token_ids) >= self.max_num_tokens:
            return FinishReason.LENGTH
        return None

    def _prompt_targets(self, first: int, end: int) -> PromptTargets | None:
        """Return the tokens of the prompt whose likelihood the tokens from `first` to `end` tell, if it is asked."""
        num_top = self.request.sampling.prompt_logprobs
        if num_top is None or not (token_ids := self.request.prompt_token_ids[first + 1 : end + 1]):
            return None
        return PromptTargets(token_ids, num_top)

    def _sampling_input(self) -> SamplingInput:
        """Return how this sequence's next token is drawn."""
        params = self.request.sampling
        num_output_tokens = len(self.token_ids) + self.num_awaited_tokens - self.num_prompt_tokens
        banned_token_ids = tuple(self.end_token_ids) if num_output_tokens < params.min_tokens else ()
        if not self.needs_history:
            return SamplingInput(
                params=params,
                num_output_tokens=num_output_tokens,
                request_id=self.request_id,
                banned_token_ids=banned_token_ids,
            )
        return SamplingInput(
            params=params,
            num_output_tokens=num_output_tokens,
            request_id=self.request_id,
            banned_token_ids=banned_token_ids,
            prompt_token_ids=self.request.prompt_token_ids,
            output_token_ids=tuple(self.token_ids[self.num_prompt_tokens :]),
        )
