"""The moments of one request, each set once, from which TTFT, TBT and its final record follow."""

from array import array
from statistics import median_low

from sarathid.protocol.requests import FinishReason, Request
from sarathid.protocol.stats import RequestStats
from sarathid.scheduler.sequence import Sequence


def refused_stats(request: Request, now_s: float) -> RequestStats:
    """Return the record of a request that the engine could not take in."""
    return RequestStats(
        request_id=request.request_id,
        client=request.client,
        arrival_s=request.arrival_s,
        scheduled_s=None,
        first_token_s=None,
        finished_s=now_s,
        finish_reason=FinishReason.ERROR,
        num_prompt_tokens=len(request.prompt_token_ids),
        num_output_tokens=len(request.output_token_ids),
        num_preemptions=0,
        num_recomputed_tokens=0,
        num_stalls=0,
        tbt_p50_s=None,
        tbt_max_s=None,
    )


class RequestTimeline:
    """Monotonic seconds of arrival, first schedule, first and last token; every TBT."""

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence
        self.scheduled_s: float | None = None
        self.first_token_s: float | None = None
        self.num_stalls = 0
        self.num_cached_tokens = 0
        self._gaps_s = array("d")

    def mark_scheduled(self, now_s: float) -> None:
        if self.scheduled_s is None:
            self.scheduled_s = now_s
            self.num_cached_tokens = self._sequence.num_cached_tokens

    def mark_token(self, now_s: float) -> float | None:
        """Note a token; return its TBT, or None for the first token that this engine made."""
        sequence = self._sequence
        previous_s = sequence.last_token_s
        sequence.last_token_s = now_s
        if previous_s is None:
            if not sequence.request.output_token_ids:
                self.first_token_s = now_s
            return None
        gap_s = now_s - previous_s
        self._gaps_s.append(gap_s)
        return gap_s

    @property
    def ttft_s(self) -> float | None:
        return None if self.first_token_s is None else self.first_token_s - self._sequence.request.arrival_s

    def finish(self, reason: FinishReason, now_s: float) -> RequestStats:
        """Return the final record."""
        sequence = self._sequence
        return RequestStats(
            request_id=sequence.request_id,
            client=sequence.request.client,
            arrival_s=sequence.request.arrival_s,
            scheduled_s=self.scheduled_s,
            first_token_s=self.first_token_s,
            finished_s=now_s,
            finish_reason=reason,
            num_prompt_tokens=sequence.num_prompt_tokens,
            num_output_tokens=sequence.num_output_tokens,
            num_preemptions=sequence.num_preemptions,
            num_recomputed_tokens=sequence.num_recomputed_tokens,
            num_stalls=self.num_stalls,
            tbt_p50_s=median_low(self._gaps_s) if self._gaps_s else None,
            tbt_max_s=max(self._gaps_s, default=None),
            num_cached_tokens=self.num_cached_tokens,
        )
