"""The decodes of an iteration, as what they cost and how long they can wait."""

from collections.abc import Sequence as Sequences
from typing import NamedTuple

from sarathid.scheduler.sequence import Sequence


class DecodeLoad(NamedTuple):
    """So many decodes, the sum of the contexts that they attend to, and the moments of their last tokens.

    Most had theirs at the same moment, which is told once; None stands for those whose moment is not known, or is that
    at which their iteration begins, since the one before it draws that token.
    """

    num_decodes: int
    context: int
    last_tokens_s: set[float | None]

    @classmethod
    def of(cls, sequences: Sequences[Sequence]) -> "DecodeLoad":
        """Return the load of decodes of which no token is computed yet."""
        return cls(
            num_decodes=len(sequences),
            context=len(sequences) + sum([sequence.num_computed_tokens for sequence in sequences]),
            last_tokens_s={None if each.num_awaited_tokens else each.last_token_s for each in sequences},
        )
