"""The blocks of the KV cache as ids with reference counts; the tensors are the executor's."""

from collections.abc import Collection, Iterable


class BlockPool:
    """Hands out block ids 0 .. num_blocks - 1; a block is free when nobody holds a reference to it.

    What lies in a *kept* block may be wanted again: while it is free it is handed out last, the one that was freed
    first before the others. All are free at the start, and `kept` are kept.
    """

    def __init__(self, num_blocks: int, kept: Collection[int] = ()) -> None:
        assert num_blocks > 0
        self.num_blocks = num_blocks
        self._num_references = [0] * num_blocks
        self._kept = set(kept)
        self._free_kept = dict.fromkeys(kept)  # in the order in which they were freed
        unkept = (block for block in range(num_blocks - 1, -1, -1) if block not in self._kept)
        self._free = list(unkept)  # a stack: the block freed last is warm in the cache

    @property
    def num_free(self) -> int:
        return len(self._free) + len(self._free_kept)

    @property
    def num_used(self) -> int:
        return self.num_blocks - self.num_free

    def allocate(self, num_blocks: int) -> list[int]:
        """Return `num_blocks` free blocks, each with one reference and not kept; the caller has asked `num_free`."""
        assert 0 <= num_blocks <= self.num_free
        split = max(0, len(self._free) - num_blocks)
        taken = self._free[split:]
        del self._free[split:]
        while len(taken) < num_blocks:
            oldest = next(iter(self._free_kept))
            del self._free_kept[oldest]
            self._kept.remove(oldest)
            taken.append(oldest)
        for block in taken:
            self._num_references[block] = 1
        return taken

    def keep(self, block: int) -> None:
        """Keep what lies in a block that is in use, until it is handed out again."""
        assert self._num_references[block] > 0
        self._kept.add(block)

    def let_go(self, blocks: Iterable[int]) -> None:
        """Keep none of `blocks`, which are in use, any longer."""
        self._kept.difference_update(blocks)

    def share(self, blocks: Iterable[int]) -> None:
        """Add one reference to each of `blocks`, all of which are in use or kept."""
        for block in blocks:
            if self._num_references[block] == 0:
                del self._free_kept[block]
            self._num_references[block] += 1

    def release(self, blocks: Iterable[int]) -> None:
        """Drop one reference of each of `blocks`; those without any left are free again."""
        for block in blocks:
            assert self._num_references[block] > 0
            self._num_references[block] -= 1
            if self._num_references[block] == 0:
                if block in self._kept:
                    self._free_kept[block] = None
                else:
                    self._free.append(block)

    def num_references(self, block: int) -> int:
        return self._num_references[block]
