"""How long an engine has said nothing, and how long it may: a whole prompt's prefill is no hang."""

import math
from collections import deque

from sarathid.protocol.stats import IterationScheduled, IterationStats
from sarathid.protocol.step import EngineMessage, EngineWaits, StepOutput

LEAST_LIMIT_S = 5.0  # an idle engine sends a beat each second
UNPREDICTED_LIMIT_S = 60.0  # the most for an iteration whose time nobody predicts yet
PREDICTION_FACTOR = 3.0


class EngineSilence:
    """The `seconds` since an engine's last message, as its owner counts them.

    They are counted rather than read off a clock so that a daemon that was stopped itself, and could hear nothing,
    does not blame the engine. A new engine may predict nothing yet: then no token is expected to take longer than an
    iteration of decodes alone, which is `isolated_decode_s`.
    """

    def __init__(self, isolated_decode_s: float = math.inf) -> None:
        self._isolated_decode_s = isolated_decode_s
        self._in_flight: deque[IterationScheduled] = deque()
        self._awaited = ""
        self.seconds = 0.0

    def heard(self, message: EngineMessage) -> None:
        """Begin anew: the engine lives, unless all that it says is whom it waits for."""
        if isinstance(message, EngineWaits):
            self._awaited = message.awaited
            return
        self._awaited, self.seconds = "", 0.0
        match message:
            case IterationScheduled():
                self._in_flight.append(message)
            case StepOutput(stats=IterationStats()):
                self._in_flight.popleft()

    def lasts(self, seconds: float) -> None:
        """Count seconds in which nothing was heard."""
        self.seconds += seconds

    @property
    def limit_s(self) -> float:
        """The longest silence that is no hang: by the prediction of the iteration in flight, where there is one."""
        if not self._in_flight:
            return LEAST_LIMIT_S
        oldest = self._in_flight[0]
        if oldest.predicted_s is not None:
            return max(LEAST_LIMIT_S, PREDICTION_FACTOR * oldest.predicted_s)
        num_tokens = oldest.num_decode_tokens + sum(chunk.length for chunk in oldest.chunks)
        most_s = PREDICTION_FACTOR * num_tokens * self._isolated_decode_s
        return max(LEAST_LIMIT_S, min(UNPREDICTED_LIMIT_S, most_s))

    def exceeds(self, num_limits: int) -> bool:
        """Return whether it has lasted that many times the limit."""
        return self.seconds >= num_limits * self.limit_s

    @property
    def cause(self) -> str:
        """Words for whom the engine waits for, to be put behind what is said of it; empty where it did not say."""
        return f"; it waits for {self._awaited}" if self._awaited else ""

    def __str__(self) -> str:
        return f"said nothing for {self.seconds:.1f} s {self._whereabouts}{self.cause}"

    @property
    def _whereabouts(self) -> str:
        if not self._in_flight:
            return "with nothing to compute"
        oldest = self._in_flight[0]
        requests = ", ".join(str(chunk.request_id) for chunk in oldest.chunks)
        prompts = f", prompts of requests {requests}" if requests else ""
        return f"in iteration {oldest.sequence_number} ({oldest.num_decode_tokens} decodes{prompts})"
