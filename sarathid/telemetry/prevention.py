"""Which token budget a stall would not have happened under, by what prefill cost in it."""

from sarathid.protocol.stats import IterationStats, StallCause, StallEvent

_RESERVE = 0.1  # of the target: iterations differ from what is predicted by about so much, and later chunks cost more


def preventing_budget(stall: StallEvent, culprit: IterationStats, *, tile: int, least: int) -> int | None:
    """Return the largest budget, in whole tiles, that leaves the longest gap within the target and a tenth of it over.

    `culprit` is the iteration of the chunk that cost most. Its prefill tokens are taken to cost all the same, and
    everything else in the gap to stay. None where that leaves no budget of at least `least` tokens, or no prefill was
    the cause.
    """
    token_s = _prefill_token_s(stall, culprit)
    if stall.cause is not StallCause.PREFILL or not token_s:
        return None
    left_s = (1.0 - _RESERVE) * stall.target_s - (stall.worst_gap_s - stall.parts[StallCause.PREFILL])
    num_decodes = max(culprit.num_decode_tokens, len(stall.victims))
    budget = (num_decodes + int(left_s / token_s)) // tile * tile
    return budget if budget >= max(least, num_decodes + 1) else None


def _prefill_token_s(stall: StallEvent, culprit: IterationStats) -> float | None:
    """Return the seconds that each prefill token of the culprit cost; None where the records don't tell."""
    if not culprit.num_prefill_tokens:
        return None
    if culprit.predicted_decode_s is not None:
        prefill_s = culprit.execute_s - culprit.predicted_decode_s
    elif stall.iteration == culprit.sequence_number:
        prefill_s = stall.parts.get(StallCause.PREFILL, 0.0)
    else:
        return None
    return max(0.0, prefill_s) / culprit.num_prefill_tokens
