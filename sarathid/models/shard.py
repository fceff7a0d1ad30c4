"""A part of one dimension, of a weight or of what a layer makes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """Indices `start` to `stop` of `size`."""

    size: int
    start: int
    stop: int

    @classmethod
    def whole(cls, size: int) -> "Shard":
        return cls(size, 0, size)

    @classmethod
    def even(cls, size: int, part: int, num_parts: int) -> "Shard":
        """Return part `part` of `num_parts`: all are equally long, but for the last where `size` does not divide."""
        length = -(-size // num_parts)
        return cls(size, min(size, part * length), min(size, (part + 1) * length))

    @property
    def length(self) -> int:
        return self.stop - self.start

    @property
    def is_whole(self) -> bool:
        return self.length == self.size

    def times(self, count: int) -> "Shard":
        """Return the same part where each index stands for `count` of them: rows of heads, say."""
        return Shard(self.size * count, self.start * count, self.stop * count)
