"""Which request holds which blocks: grown position by position, given back all at once."""

from sarathid.kvcache.block_pool import BlockPool
from sarathid.kvcache.block_table import BlockTable, num_blocks_for


class KVCacheManager:
    """Block tables by request id over one pool."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.block_size = block_size
        self._pool = BlockPool(num_blocks)
        self._tables: dict[int, BlockTable] = {}

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

    def num_missing_blocks(self, request_id: int, num_tokens: int) -> int:
        """Return how many blocks the request still lacks to hold `num_tokens` positions."""
        table = self._tables.get(request_id)
        return self.num_blocks_for(num_tokens) if table is None else table.num_missing(num_tokens)

    def max_tokens(self, request_id: int) -> int:
        """Return the positions that the request could hold if it took every free block."""
        table = self._tables.get(request_id)
        capacity = 0 if table is None else table.capacity
        return capacity + self._pool.num_free * self.block_size

    def grow(self, request_id: int, num_tokens: int) -> bool:
        """Take the blocks that the request lacks to hold `num_tokens` positions.

        False, and none taken, if too few are free.
        """
        table = self._tables.get(request_id)
        if table is not None and num_tokens <= table.capacity:
            return True
        num_missing = self.num_missing_blocks(request_id, num_tokens)
        if num_missing > self._pool.num_free:
            return False
        if num_missing:
            if table is None:
                table = self._tables[request_id] = BlockTable(self.block_size)
            table.extend(self._pool.allocate(num_missing))
        return True

    def block_ids(self, request_id: int) -> tuple[int, ...]:
        """Return the request's blocks in the order of its positions."""
        table = self._tables.get(request_id)
        return () if table is None else table.block_ids

    def release(self, request_id: int) -> None:
        """Give back every block of the request; a request without blocks is fine."""
        table = self._tables.pop(request_id, None)
        if table is not None:
            self._pool.release(table.block_ids)

    def check_integrity(self) -> None:
        """Raise AssertionError unless the tables account for every block in use, each once."""
        held = [block for table in self._tables.values() for block in table.block_ids]
        assert len(held) == len(set(held)), "a block is in two tables"
        assert len(held) == self._pool.num_used, f"{self._pool.num_used} blocks in use, {len(held)} in tables"
        assert all(self._pool.num_references(block) == 1 for block in held), "a block has stray references"
