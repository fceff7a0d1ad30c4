"""How fast prompts are computed and answers end: what the promise of a start is reckoned from."""

from collections.abc import Iterable, Sequence
from itertools import takewhile

from sarathid.protocol.stats import IterationStats, RequestStats
from sarathid.protocol.why import ServiceRates


def service_rates(
    iterations: Sequence[IterationStats],
    ended: Iterable[RequestStats],
    tbt_s: float | None,
    now_s: float,
    window_s: float,
) -> ServiceRates:
    """Return the rates over (now - window, now], of records with the oldest first."""
    since_s = now_s - window_s
    recent = list(takewhile(lambda stats: stats.end_s > since_s, reversed(iterations)))
    with_prompts = [stats for stats in recent if stats.chunks]
    prefill_s = sum(stats.duration_s + stats.idle_s for stats in with_prompts)
    num_prefill_tokens = sum(stats.num_prefill_tokens for stats in with_prompts)
    num_ends = sum(request.scheduled_s is not None and request.finished_s > since_s for request in ended)
    span_s = min(window_s, now_s - recent[-1].start_s) if recent else window_s
    return ServiceRates(
        window_s=window_s,
        prefill_tokens_per_s=num_prefill_tokens / prefill_s if prefill_s else None,
        ends_per_s=num_ends / span_s if span_s > 0.0 else 0.0,
        tbt_s=tbt_s,
    )
