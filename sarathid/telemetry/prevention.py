"""Which token budget a stall would not have happened under, by what prefill cost in it."""

from sarathid.protocol.stats import EngineInfo, StallCause, StallEvent
from sarathid.telemetry.iteration_span import IterationSpan

_RESERVE = 0.1  # of the target: iterations differ from what is predicted by about so much, and later chunks cost more


def preventing_budget(stall: StallEvent, culprit: IterationSpan, engine: EngineInfo) -> int | None:
    """Return the largest budget, in the engine's tiles, that leaves the longest gap within the target and a tenth over.

    `culprit` is the iteration of the chunk that cost most. Its prefill tokens are taken to cost all the same, and
    everything else in the gap to stay. None where that leaves less than the engine's least budget, or no prefill was
    the cause.
    """
    token_s = _prefill_token_s(stall, culprit)
    if stall.cause is not StallCause.PREFILL or not token_s:
        return None
    left_s = (1.0 - _RESERVE) * stall.target_s - (stall.worst_gap_s - stall.parts[StallCause.PREFILL])
    num_decodes = max(culprit.num_decode_tokens, len(stall.victims))
    budget = (num_decodes + int(left_s / token_s)) // engine.tile * engine.tile
    return budget if budget >= max(engine.min_token_budget, num_decodes + 1) else None


def _prefill_token_s(stall: StallEvent, culprit: IterationSpan) -> float | None:
    """Return the seconds that each prefill token of the culprit cost; None where the records don't tell."""
    prefill_s = culprit.prefill_s
    if prefill_s is None and stall.iteration == culprit.sequence_number:
        prefill_s = stall.parts.get(StallCause.PREFILL)
    return None if prefill_s is None else max(0.0, prefill_s) / culprit.num_prefill_tokens
