"""What iterations have had to do of late."""

from collections.abc import Sequence

from sarathid.costmodel.features import IterationFeatures
from sarathid.protocol.stats import ChunkStats

_GAIN = 1.0 / 64.0
_DEMAND_GAIN = 1.0 / 256.0  # prompts come in runs, which are not to be taken for the usual
_RUN_GAIN = 1.0 / 16.0


class UsualLoad:
    """Moving averages over the iterations of an engine.

    `num_prefill_tokens` is the mean over all of them, those without a prompt included; `run_tokens` how many prompt
    tokens follow one another without such an iteration, or as many as the present run has had if that is more.
    `fullness` is the share of the engine that is taken.
    """

    def __init__(self) -> None:
        self.num_prefill_tokens = 0.0
        self.fullness = 0.0
        self._num_decodes = 0.0
        self._decode_context = 0.0
        self._first_position = 0.0
        self._present_run = 0
        self._usual_run: float | None = None

    @property
    def decodes(self) -> IterationFeatures:
        """The usual decodes, at least one."""
        num_decodes = max(1, round(self._num_decodes))
        return IterationFeatures(num_decodes, max(num_decodes, round(self._decode_context)))

    @property
    def first_position(self) -> int:
        """How far into its prompt a chunk begins."""
        return round(self._first_position)

    @property
    def run_tokens(self) -> float:
        return max(1.0, self._present_run, self._usual_run or 0.0)

    def observe(self, decodes: IterationFeatures, chunks: Sequence[ChunkStats], fullness: float) -> None:
        """Take note of an iteration with these decodes and chunks."""
        self._num_decodes += _GAIN * (decodes.num_decodes - self._num_decodes)
        self._decode_context += _GAIN * (decodes.decode_context - self._decode_context)
        self.fullness += _GAIN * (fullness - self.fullness)
        if chunks:
            self._first_position += _GAIN * (chunks[0].start - self._first_position)
        num_prefill_tokens = sum([chunk.length for chunk in chunks])
        self.num_prefill_tokens += _DEMAND_GAIN * (num_prefill_tokens - self.num_prefill_tokens)
        self._count_run(num_prefill_tokens)

    def _count_run(self, num_prefill_tokens: int) -> None:
        if num_prefill_tokens:
            self._present_run += num_prefill_tokens
        elif self._present_run:
            usual = self._present_run if self._usual_run is None else self._usual_run
            self._usual_run = usual + _RUN_GAIN * (self._present_run - usual)
            self._present_run = 0
