"""How requests fared from arrival to end, as distributions since the start."""

from sarathid.histogram import LatencyHistogram
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import RequestStats


class RequestFigures:
    """Histograms of requests that ended with a token at least, in seconds and in tokens; the names are vLLM's."""

    def __init__(self) -> None:
        self.e2e_latency = LatencyHistogram()
        self.queue_time = LatencyHistogram()
        self.prefill_time = LatencyHistogram()
        self.decode_time = LatencyHistogram()
        self.inference_time = LatencyHistogram()
        self.prompt_tokens = LatencyHistogram()
        self.generation_tokens = LatencyHistogram()

    def observe(self, ended: RequestStats) -> None:
        """Take in the record of a request."""
        if ended.scheduled_s is None or ended.first_token_s is None or ended.finish_reason is FinishReason.ERROR:
            return
        # An engine that took over from another scheduled it anew, behind its first token.
        scheduled_s = min(ended.scheduled_s, ended.first_token_s)
        for histogram, first_s, last_s in (
            (self.e2e_latency, ended.arrival_s, ended.finished_s),
            (self.queue_time, ended.arrival_s, scheduled_s),
            (self.prefill_time, scheduled_s, ended.first_token_s),
            (self.decode_time, ended.first_token_s, ended.finished_s),
            (self.inference_time, scheduled_s, ended.finished_s),
        ):
            histogram.record(max(0.0, last_s - first_s))
        self.prompt_tokens.record(ended.num_prompt_tokens)
        self.generation_tokens.record(ended.num_output_tokens)
