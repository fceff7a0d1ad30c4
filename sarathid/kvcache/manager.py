"""Gives block tables their blocks and takes them back."""

from collections.abc import Iterable

from sarathid.kvcache.block_pool import BlockPool
from sarathid.kvcache.block_table import BlockTable, num_blocks_for


class KVCacheManager:
    """One pool of blocks, and the tables that are grown from it position by position and emptied at once.

    A table whose sequence sees but a window of its past gives the blocks before that back on the way.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.block_size = block_size
        self._pool = BlockPool(num_blocks)

    @property
    def num_blocks(self) -> int:
        return self._pool.num_blocks

    @property
    def num_free_blocks(self) -> int:
        return self._pool.num_free

    @property
    def num_used_blocks(self) -> int:
        return self._pool.num_used

    def num_blocks_for(self, num_tokens: int) -> int:
        """Return how many blocks hold `num_tokens` positions."""
        return num_blocks_for(num_tokens, self.block_size)

    def new_table(self) -> BlockTable:
        """Return a table without blocks."""
        return BlockTable(self.block_size)

    def max_tokens(self, table: BlockTable) -> int:
        """Return the positions that the table could hold if it took every free block."""
        return table.capacity + self._pool.num_free * self.block_size

    def grow(self, table: BlockTable, num_tokens: int) -> bool:
        """Give the table what it lacks to hold `num_tokens` positions; False, and nothing, if too few are free."""
        num_missing = table.num_missing(num_tokens)
        if num_missing > self._pool.num_free:
            return False
        if num_missing:
            table.extend(self._pool.allocate(num_missing))
        return True

    def forget(self, table: BlockTable, num_tokens: int) -> None:
        """Take back the blocks of the table that lie wholly before position `num_tokens`, none if it is negative."""
        if num_tokens >= self.block_size:
            self._pool.release(table.forget(num_tokens))

    def release(self, table: BlockTable) -> None:
        """Take back every block of the table."""
        self._pool.release(table.clear())

    def check_integrity(self, tables: Iterable[BlockTable]) -> None:
        """Raise AssertionError unless `tables`, all there are, account for every block in use, each once."""
        held = [block for table in tables for block in table.held]
        assert len(held) == len(set(held)), "a block is in two tables"
        assert len(held) == self._pool.num_used, f"{self._pool.num_used} blocks in use, {len(held)} in tables"
        assert all(self._pool.num_references(block) == 1 for block in held), "a block has stray references"
