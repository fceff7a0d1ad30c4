"""The blocks of the KV cache as ids with reference counts; the tensors are the executor's."""

from collections.abc import Iterable


class BlockPool:
    """Hands out block ids 0 .. num_blocks - 1; a block is free when nobody holds a reference to it."""

    def __init__(self, num_blocks: int) -> None:
        assert num_blocks > 0
        self.num_blocks = num_blocks
        self._num_references = [0] * num_blocks
        self._free = list(range(num_blocks - 1, -1, -1))  # a stack: the block freed last is warm in the cache

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_used(self) -> int:
        return self.num_blocks - len(self._free)

    def allocate(self, num_blocks: int) -> list[int]:
        """Return `num_blocks` free blocks, each with one reference; the caller has asked `num_free`."""
        assert 0 <= num_blocks <= len(self._free)
        split = len(self._free) - num_blocks
        taken = self._free[split:]
        del self._free[split:]
        for block in taken:
            self._num_references[block] = 1
        return taken

    def share(self, blocks: Iterable[int]) -> None:
        """Add one reference to each of `blocks`, all of which are in use."""
        for block in blocks:
            assert self._num_references[block] > 0
            self._num_references[block] += 1

    def release(self, blocks: Iterable[int]) -> None:
        """Drop one reference of each of `blocks`; those without any left are free again."""
        for block in blocks:
            assert self._num_references[block] > 0
            self._num_references[block] -= 1
            if self._num_references[block] == 0:
                self._free.append(block)

    def num_references(self, block: int) -> int:
        return self._num_references[block]
