"""Gives block tables their blocks and takes them back."""

from collections import Counter
from collections.abc import Iterable, Sequence

from sarathid.kvcache.block_pool import BlockPool
from sarathid.kvcache.block_table import BlockTable, num_blocks_for
from sarathid.kvcache.prefix_cache import NOTHING_CACHED, BlockNames, CachedPrefix, PrefixCache


class KVCacheManager:
    """One pool of blocks, and the tables that are grown from it position by position and emptied at once.

    A table whose sequence sees but a window of its past gives the blocks before that back on the way. With a
    `prefix_cache` full blocks are kept when they are given back, and shared by tables that begin with the same tokens;
    nothing is written to a block that is shared.
    """

    def __init__(self, num_blocks: int, block_size: int, prefix_cache: PrefixCache | None = None) -> None:
        self.block_size = block_size
        self._pool = BlockPool(num_blocks, kept=() if prefix_cache is None else prefix_cache.blocks)
        self._prefix_cache = prefix_cache

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
            blocks = self._pool.allocate(num_missing)
            if self._prefix_cache is not None:
                self._prefix_cache.discard(blocks)
            table.extend(blocks)
        return True

    def find_prefix(self, names: BlockNames, token_ids: Sequence[int]) -> CachedPrefix:
        """Return what is cached of `token_ids` but the last, which has to be computed: its logits are wanted."""
        if self._prefix_cache is None:
            return NOTHING_CACHED
        return self._prefix_cache.find(names.of(token_ids, (len(token_ids) - 1) // self.block_size))

    def num_in_use(self, prefix: CachedPrefix) -> int:
        """Return how many blocks of it somebody holds, so that sharing them takes none that is free."""
        return sum([self._pool.num_references(block) > 0 for block in prefix.block_ids])

    def adopt(self, table: BlockTable, names: BlockNames, prefix: CachedPrefix) -> None:
        """Let an empty table share the blocks of a prefix that was found a moment ago."""
        self._pool.share(prefix.block_ids)
        table.begin_with(prefix.num_forgotten, prefix.block_ids)
        names.num_stored = len(table.block_ids)

    def store(self, table: BlockTable, names: BlockNames, token_ids: Sequence[int], num_tokens: int) -> None:
        """Enter the blocks that the first `num_tokens` tokens, now computed, have filled."""
        num_full = num_tokens // self.block_size
        if self._prefix_cache is None or num_full <= names.num_stored:
            return
        full = names.of(token_ids, num_full)
        for index in range(max(names.num_stored, table.num_forgotten), num_full):
            if self._prefix_cache.store(full[index], table.block_ids[index]):
                self._pool.keep(table.block_ids[index])
        names.num_stored = num_full

    def distrust(self, table: BlockTable) -> None:
        """Let nobody begin with the table's blocks any more: what lies in them is not what its names say."""
        if self._prefix_cache is not None:
            self._prefix_cache.discard(table.held)
            self._pool.let_go(table.held)

    def forget(self, table: BlockTable, num_tokens: int) -> None:
        """Take back the blocks of the table that lie wholly before position `num_tokens`, none if it is negative."""
        if num_tokens >= self.block_size:
            self._pool.release(table.forget(num_tokens))

    def release(self, table: BlockTable) -> None:
        """Take back every block of the table."""
        self._pool.release(reversed(table.clear()))  # the end of a context is worth less than its beginning

    def check_integrity(self, tables: Iterable[BlockTable]) -> None:
        """Raise AssertionError unless `tables`, all there are, account for every block in use and every reference."""
        held = Counter([block for table in tables for block in table.held])
        assert len(held) == self._pool.num_used, f"{self._pool.num_used} blocks in use, {len(held)} in tables"
        for block, num_tables in held.items():
            assert self._pool.num_references(block) == num_tables, "a block has stray references"
