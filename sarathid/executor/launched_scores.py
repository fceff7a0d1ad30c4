"""How likely tokens were, from when that is launched until somebody needs it on the host."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from torch import Tensor

from sarathid.executor.staging import Arrival
from sarathid.protocol.logprobs import LEAST_LOGPROB, PromptLogprobs, TokenLogprobs


class LaunchedScores:
    """A token of each row, and as many of the row's likeliest as it wants."""

    def __init__(self, logprobs: Tensor, token_ids: Tensor, num_top: Sequence[int]) -> None:
        """Launch it for `logprobs` [num_rows, vocab_size] and `token_ids` [num_rows] int64 on the same device."""
        own = logprobs.gather(1, token_ids.unsqueeze(1)).flatten()
        top = logprobs.topk(min(max(num_top), logprobs.shape[1]), dim=1)
        self._arrival = Arrival((_finite(own), top.indices, _finite(top.values)))
        self._num_top = num_top

    def read(self) -> list[TokenLogprobs]:
        """Wait for all rows and return them."""
        own, token_ids, logprobs = [tensor.tolist() for tensor in self._arrival.wait()]
        rows = zip(own, self._num_top, token_ids, logprobs, strict=True)
        return [
            TokenLogprobs(logprob, tuple(ids[:wanted]), tuple(values[:wanted])) for logprob, wanted, ids, values in rows
        ]


@dataclass(frozen=True, slots=True)
class LaunchedPrompt:
    """The tokens of a request's prompt from `first_position` on, some rows at a time."""

    request_id: int
    first_position: int
    scores: tuple[LaunchedScores, ...]

    def read(self) -> PromptLogprobs:
        """Wait for all of them."""
        tokens = tuple(chain.from_iterable(scores.read() for scores in self.scores))
        return PromptLogprobs(self.request_id, self.first_position, tokens)


def _finite(logprobs: Tensor) -> Tensor:
    """Return the numbers, with a number of JSON's for what is none."""
    return logprobs.nan_to_num(LEAST_LOGPROB).clamp(min=LEAST_LOGPROB)
