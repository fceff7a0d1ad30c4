"""Where the tensors of a checkpoint go: into a layer's weights, some of which the checkpoint lays out otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from sarathid.models.shard import Shard


class Destination(Protocol):
    """Takes one tensor of a checkpoint; a weight that lies as the checkpoint has it is one itself."""

    @property
    def shape(self) -> tuple[int, ...]:
        """What it takes: the checkpoint's tensor, or the region of it that is wanted."""
        ...

    @property
    def nbytes(self) -> int:
        """What the weight takes once it is loaded."""
        ...

    def copy_(self, source: Tensor, /) -> object:
        """Take over `source`, of that shape, in any number format."""
        ...


@dataclass(frozen=True, slots=True)
class Region:
    """Some ranges of one dimension, `size` long, of a checkpoint's tensor, side by side."""

    dim: int
    size: int
    ranges: tuple[range, ...]

    @classmethod
    def of(cls, shard: Shard, dim: int) -> "Region | None":
        """Return a shard's region, None for all of the dimension."""
        return None if shard.is_whole else cls(dim, shard.size, (range(shard.start, shard.stop),))


@dataclass(frozen=True, slots=True)
class CheckpointTensor:
    """A tensor of a checkpoint by its name, where it goes, and the region of it that does; None for all of it."""

    name: str
    destination: Destination
    region: Region | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """What the checkpoint's tensor must have."""
        shape = list(self.destination.shape)
        if self.region is not None:
            shape[self.region.dim] = self.region.size
        return tuple(shape)


class Copies:
    """The same rows in several weights."""

    def __init__(self, destinations: Sequence[Destination]) -> None:
        self._destinations = destinations

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._destinations[0].shape)

    @property
    def nbytes(self) -> int:
        return sum(destination.nbytes for destination in self._destinations)

    def copy_(self, source: Tensor, /) -> None:
        for destination in self._destinations:
            destination.copy_(source)


class FusedHeads:
    """Rows of q, k and v out of one tensor that has them by KV head: its query heads, its key, its value.

    That is [num_kv_heads, group + 2, head_dim] rows, of which q takes the first `group` of each.
    """

    def __init__(self, q: Destination, k: Destination, v: Destination, num_kv_heads: int, head_dim: int) -> None:
        self._q, self._k, self._v = q, k, v
        self._num_kv_heads = num_kv_heads
        self._head_dim = head_dim

    @property
    def shape(self) -> tuple[int, ...]:
        num_rows = self._q.shape[0] + self._k.shape[0] + self._v.shape[0]
        return (num_rows, *self._q.shape[1:])

    @property
    def nbytes(self) -> int:
        return self._q.nbytes + self._k.nbytes + self._v.nbytes

    def copy_(self, source: Tensor, /) -> None:
        heads = source.view(self._num_kv_heads, -1, self._head_dim, *source.shape[1:])
        self._q.copy_(heads[:, :-2].flatten(0, 2))
        self._k.copy_(heads[:, -2].flatten(0, 1))
        self._v.copy_(heads[:, -1].flatten(0, 1))
