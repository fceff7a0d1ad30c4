"""Keeps answers to their grammars: forbids the tokens that would leave them, where a row's logits lie."""

import math
from collections import OrderedDict
from dataclasses import dataclass, field

import llguidance
import llguidance.numpy
import numpy as np
from tokenizers import Tokenizer
from torch import Tensor

from sarathid.executor.staging import send_one
from sarathid.scheduler.batch import SamplingInput

MAX_MATCHERS = 512


@dataclass(slots=True)
class _Follower:
    """Where one request is in its grammar, behind so many of its tokens."""

    matcher: llguidance.LLMatcher
    token_ids: list[int] = field(default_factory=list)


class GrammarMasks:
    """Follows each request that has a grammar through it, by the tokens of its answer.

    What is known of a request follows from its tokens alone: it is made again where it is not there, in another
    engine or for one that was away for long.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, eos_token_ids: frozenset[int]) -> None:
        self._vocab_size = vocab_size
        self._tokenizer = llguidance.LLTokenizer(
            tokenizer.to_str(), n_vocab=vocab_size, eos_token=sorted(eos_token_ids) or None
        )
        self._followers: OrderedDict[int, _Follower] = OrderedDict()

    def forbid(self, logits: Tensor, request: SamplingInput) -> None:
        """Make impossible what the request's grammar does not allow next, in its row [vocab_size] of logits.

        A row becomes NaN where the answer has left the grammar or following it takes more than it may.
        """
        matcher = self._follow(request)
        mask = llguidance.numpy.allocate_token_bitmask(1, self._vocab_size)
        llguidance.numpy.fill_next_token_bitmask(matcher, mask)
        if matcher.is_error():
            logits.fill_(math.nan)
            return
        allowed = np.unpackbits(mask.view(np.uint8), bitorder="little")[: self._vocab_size]
        logits.masked_fill_(send_one(allowed, logits.device) == 0, -math.inf)

    def _follow(self, request: SamplingInput) -> llguidance.LLMatcher:
        token_ids = request.output_token_ids
        found = self._followers.pop(request.request_id, None)
        if found is None or tuple(found.token_ids) != token_ids[: len(found.token_ids)]:
            assert request.params.grammar is not None
            found = _Follower(llguidance.LLMatcher(self._tokenizer, request.params.grammar, log_level=0))
        fresh = list(token_ids[len(found.token_ids) :])
        if fresh:
            found.matcher.consume_tokens(fresh)
            found.token_ids += fresh
        self._followers[request.request_id] = found
        if len(self._followers) > MAX_MATCHERS:
            self._followers.popitem(last=False)
        return found.matcher
