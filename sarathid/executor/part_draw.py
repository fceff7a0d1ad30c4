"""Draws tokens where each rank has the logits of a part of the vocabulary, gathering no more of them than it takes."""

from collections.abc import Sequence

from sarathi_kernels.sampling import NUMPY_ALONE, DrawKernels
from torch import Tensor

from sarathid.executor.grammar_masks import GrammarMasks
from sarathid.executor.logprobs import draw
from sarathid.executor.sampler import edits_logits, sample
from sarathid.models.decoder import Decoder
from sarathid.scheduler.batch import Drawn, SamplingInput

_LONGEST_SHORTLIST = 64


def draw_of_parts(
    model: Decoder,
    part: Tensor,
    inputs: Sequence[SamplingInput],
    kernels: DrawKernels = NUMPY_ALONE,
    grammars: GrammarMasks | None = None,
) -> Drawn:
    """Return what `draw` does for the whole rows of which this rank has `part` [num_rows, words of this rank] float32.

    Greedy rows take each rank's best logit, and on the host rows with a small top-k each rank's largest so many. Every
    rank calls this; the first draws, and what the others return means nothing.
    """
    lengths = [_shortlist_len(request, kernels) for request in inputs]
    short = [row for row, length in enumerate(lengths) if length is not None]
    long = [row for row, length in enumerate(lengths) if length is None]
    token_ids: dict[int, int | None] = {}
    if short:
        longest = max(length for length in lengths if length is not None)
        if (largest := model.largest_logits(part[short], longest)) is not None:
            places = sample(largest.values.cpu(), [inputs[row] for row in short])
            for row, place, listed in zip(short, places, largest.token_ids.tolist(), strict=True):
                token_ids[row] = None if place is None else listed[place]
    drawn = Drawn()
    if long and (logits := model.whole_logits(part[long])) is not None:
        drawn = draw(logits, [inputs[row] for row in long], kernels, grammars)
        token_ids.update(zip(long, drawn.token_ids, strict=True))
    logprobs = dict(zip(long, drawn.logprobs, strict=False))
    rows = range(len(token_ids))
    return Drawn(
        tuple(token_ids[row] for row in rows), tuple(logprobs.get(row) for row in rows) if drawn.logprobs else ()
    )


def _shortlist_len(request: SamplingInput, kernels: DrawKernels) -> int | None:
    """Return how many of a row's largest logits decide its token, None where it takes them all.

    A device's kernel keeps tokens that are as heavy as the last of the top-k, however many they are.
    """
    params = request.params
    if edits_logits(request) or params.logprobs is not None or params.grammar is not None:
        return None
    if params.is_greedy:
        return 1
    is_short = params.top_k is not None and params.top_k <= _LONGEST_SHORTLIST and kernels.device is None
    return params.top_k if is_short else None
