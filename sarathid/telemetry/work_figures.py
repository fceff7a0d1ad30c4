"""How well the newest iterations used what they might: the token budget, and the stages of a pipeline."""

from collections.abc import Iterable, Sequence
from itertools import islice, takewhile

from sarathid.protocol.control import WorkFigures
from sarathid.protocol.stats import IterationStats
from sarathid.telemetry.stage_tally import StageTally

MAX_ITERATIONS = 512
WINDOW_S = 60.0


def work_figures(iterations: Iterable[IterationStats], now_s: float) -> WorkFigures:
    """Return the figures of iterations, given the newest first: of `WINDOW_S`, and `MAX_ITERATIONS` at most."""
    recent = takewhile(lambda stats: stats.end_s > now_s - WINDOW_S, iterations)
    newest = list(islice(recent, MAX_ITERATIONS))
    stages = StageTally()
    for stats in reversed(newest):
        stages.observe(stats.stages)
    return WorkFigures(num_iterations=len(newest), fill=_fill(newest), bubble=stages.worst_bubble_share)


def _fill(iterations: Sequence[IterationStats]) -> float | None:
    pairs = [(stats.num_decode_tokens + stats.num_prefill_tokens, stats.token_budget) for stats in iterations]
    num_granted = sum(budget for _, budget in pairs)
    is_cut = all(num_tokens <= budget for num_tokens, budget in pairs)
    return sum(num_tokens for num_tokens, _ in pairs) / num_granted if num_granted and is_cut else None
