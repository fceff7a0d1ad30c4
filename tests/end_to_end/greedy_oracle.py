"""Judges greedy output by what transformers computes for the same weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

TIE_LOGITS = 1e-4


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many tokens were compared, at how many the two best logits were all but equal, and where it was wrong."""

    num_tokens: int
    num_ties: int
    first_wrong: int | None

    @property
    def is_right(self) -> bool:
        return self.first_wrong is None


class GreedyOracle:
    """The model as transformers runs it, in float32."""

    def __init__(self, directory: Path) -> None:
        transformers.logging.set_verbosity_error()
        model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        self._model = model.eval()

    @torch.inference_mode()
    def judge(self, prompt: Sequence[int], output: Sequence[int]) -> Verdict:
        """Compare `output` with the greedy continuation of `prompt`.

        One forward pass over both is enough: an output is greedy if and only if each of its tokens is
        the best one behind the tokens before it. A token that the two implementations may disagree on,
        because it is within `TIE_LOGITS` of the best, counts as a tie and not as wrong.
        """
        tokens = torch.tensor([[*prompt, *output]])
        logits = self._model(tokens).logits[0, len(prompt) - 1 : -1]  # [num_output, vocab_size]
        best = logits.max(dim=-1).values
        given = logits.gather(1, torch.tensor(output)[:, None])[:, 0]
        is_best = logits.argmax(dim=-1) == torch.tensor(output)
        is_tie = ~is_best & (best - given < TIE_LOGITS)
        wrong = (~is_best & ~is_tie).nonzero()
        return Verdict(
            num_tokens=len(output),
            num_ties=int(is_tie.sum()),
            first_wrong=int(wrong[0]) if len(wrong) else None,
        )
