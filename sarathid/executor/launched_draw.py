"""What a batch gives, from when its drawing is launched until somebody needs it on the host."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sarathid.executor.launched_scores import LaunchedPrompt, LaunchedScores
from sarathid.executor.staging import Arrival
from sarathid.protocol.logprobs import TokenLogprobs
from sarathid.scheduler.batch import Drawn


class SampledTokens(Protocol):
    """One token of each row that samples; None for a row whose logits were not numbers."""

    def read(self) -> tuple[int | None, ...]:
        """Wait for the tokens and return them."""
        ...

    def on(self, device: torch.device) -> Tensor:
        """Return the tokens [num_rows] int64 on `device`, without waiting; of a row without numbers any token."""
        ...


@dataclass(frozen=True, slots=True)
class TokensOnHost:
    """Tokens that were drawn here."""

    token_ids: Sequence[int | None] = ()

    def read(self) -> tuple[int | None, ...]:
        return tuple(self.token_ids)

    def on(self, device: torch.device) -> Tensor:
        return torch.tensor([token_id or 0 for token_id in self.token_ids], dtype=torch.int64, device=device)


class TokensOnDevice:
    """Tokens [num_rows] int64 that a device draws when it comes to it, with whether their rows were numbers."""

    def __init__(self, token_ids: Tensor, is_number: Tensor) -> None:
        self._token_ids = token_ids.where(is_number, 0)
        self._arrival = Arrival((token_ids, is_number))

    def read(self) -> tuple[int | None, ...]:
        token_ids, is_number = self._arrival.wait()
        drawn = zip(token_ids.tolist(), is_number.tolist(), strict=True)
        return tuple([token_id if is_good else None for token_id, is_good in drawn])

    def on(self, device: torch.device) -> Tensor:
        assert self._token_ids.device == device
        return self._token_ids


@dataclass(frozen=True, slots=True)
class LaunchedDraw:
    """A batch's tokens, and how likely tokens were where that was asked: those of `scored_rows`, and of prompts."""

    tokens: SampledTokens = TokensOnHost()
    scored_rows: Sequence[int] = ()
    scores: LaunchedScores | None = None
    prompts: tuple[LaunchedPrompt, ...] = ()

    def read(self) -> Drawn:
        """Wait for the tokens."""
        token_ids = self.tokens.read()
        return Drawn(token_ids, self._logprobs(token_ids), tuple(prompt.read() for prompt in self.prompts))

    def _logprobs(self, token_ids: Sequence[int | None]) -> tuple[TokenLogprobs | None, ...]:
        """Return how likely each row's token was, None for a row that has none or did not ask; () if nobody did."""
        if self.scores is None:
            return ()
        scored = dict(zip(self.scored_rows, self.scores.read(), strict=True))
        return tuple(None if token_id is None else scored.get(row) for row, token_id in enumerate(token_ids))
