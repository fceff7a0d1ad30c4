"""Tells from an iteration's record what its time depended on."""

from sarathid.costmodel.features import ChunkShape, IterationFeatures
from sarathid.protocol.stats import IterationStats


class FeatureReader:
    """Follows the context of every request that runs.

    So it has to read every iteration of an engine, in order, or be told where requests were that ran before.
    """

    def __init__(self) -> None:
        self._num_tokens: dict[int, int] = {}

    @property
    def num_followed(self) -> int:
        return len(self._num_tokens)

    def read(self, stats: IterationStats) -> IterationFeatures:
        """Return the features of an iteration, and take in what it did."""
        prefilled = {chunk.request_id for chunk in stats.chunks}
        decoded = [gap.request_id for gap in stats.gaps if gap.request_id not in prefilled]
        features = IterationFeatures(
            num_decodes=len(decoded),
            decode_context=sum([self._num_tokens.get(request_id, 1) for request_id in decoded]),
            chunks=tuple([ChunkShape(chunk.length, chunk.start) for chunk in stats.chunks]),
        )
        self._advance(stats)
        return features

    def follow(self, request_id: int, num_tokens: int) -> None:
        """Take note of the context of a request that runs already."""
        self._num_tokens[request_id] = num_tokens

    def forget(self, request_id: int) -> None:
        """Take note that a request runs no more."""
        self._num_tokens.pop(request_id, None)

    def _advance(self, stats: IterationStats) -> None:
        for chunk in stats.chunks:
            self._num_tokens[chunk.request_id] = chunk.num_tokens
        got_tokens = [gap.request_id for gap in stats.gaps] + [first.request_id for first in stats.first_tokens]
        for request_id in got_tokens:
            self._num_tokens[request_id] = self._num_tokens.get(request_id, 0) + 1
        for request_id in (*stats.finished, *stats.preempted):
            self.forget(request_id)
