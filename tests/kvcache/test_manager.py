import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sarathid.kvcache.block_pool import BlockPool
from sarathid.kvcache.manager import KVCacheManager

BLOCK_SIZE = 4
NUM_BLOCKS = 12


class KVCacheMachine(RuleBasedStateMachine):
    """Against a model that only knows how many tokens each request holds."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = KVCacheManager(NUM_BLOCKS, BLOCK_SIZE)
        self.tables = [self.manager.new_table() for _ in range(6)]
        self.num_blocks_held: dict[int, int] = {}

    @rule(index=st.integers(0, 5), num_tokens=st.integers(1, 30))
    def grow(self, index: int, num_tokens: int) -> None:
        held = self.num_blocks_held.get(index, 0)
        wanted = max(held, -(-num_tokens // BLOCK_SIZE))
        num_free = NUM_BLOCKS - sum(self.num_blocks_held.values())
        fits = wanted - held <= num_free
        assert self.manager.grow(self.tables[index], num_tokens) is fits
        if fits and wanted:
            self.num_blocks_held[index] = wanted

    @rule(index=st.integers(0, 5))
    def release(self, index: int) -> None:
        self.manager.release(self.tables[index])
        self.num_blocks_held.pop(index, None)

    @invariant()
    def blocks_are_conserved_and_nobody_shares(self) -> None:
        self.manager.check_integrity(self.tables)
        assert self.manager.num_used_blocks == sum(self.num_blocks_held.values())
        assert self.manager.num_free_blocks == NUM_BLOCKS - self.manager.num_used_blocks

    @invariant()
    def tables_are_as_long_as_they_should_be(self) -> None:
        for index, num_blocks in self.num_blocks_held.items():
            table = self.tables[index]
            assert len(table.block_ids) == num_blocks
            free_tokens = self.manager.num_free_blocks * BLOCK_SIZE
            assert self.manager.max_tokens(table) == num_blocks * BLOCK_SIZE + free_tokens


TestKVCache = KVCacheMachine.TestCase


def test_a_shared_block_is_free_only_when_the_last_holder_lets_go() -> None:
    pool = BlockPool(2)
    (block,) = pool.allocate(1)
    pool.share([block])
    pool.release([block])
    assert (pool.num_free, pool.num_references(block)) == (1, 1)
    pool.release([block])
    assert pool.num_free == 2


def test_releasing_a_free_block_is_caught() -> None:
    pool = BlockPool(1)
    with pytest.raises(AssertionError):
        pool.release([0])


def test_integrity_check_finds_a_leaked_block() -> None:
    manager = KVCacheManager(4, BLOCK_SIZE)
    assert manager.grow(manager.new_table(), 5)
    with pytest.raises(AssertionError, match="2 blocks in use"):
        manager.check_integrity([])


def test_blocks_before_a_window_are_given_back_once() -> None:
    manager = KVCacheManager(6, BLOCK_SIZE)
    table = manager.new_table()
    assert manager.grow(table, 4 * BLOCK_SIZE)
    whole = table.block_ids
    for num_tokens, num_free in ((-3, 2), (BLOCK_SIZE - 1, 2), (BLOCK_SIZE, 3), (2 * BLOCK_SIZE + 1, 4), (5, 4)):
        manager.forget(table, num_tokens)
        manager.check_integrity([table])
        assert manager.num_free_blocks == num_free
    assert (table.block_ids, table.held) == (whole, whole[2:])
    assert manager.grow(table, 6 * BLOCK_SIZE)
    manager.release(table)
    assert manager.num_free_blocks == 6
    assert manager.grow(table, BLOCK_SIZE)
    assert len(table.held) == 1
