"""What is shared, with whom and until when, against a model that knows what was written where."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sarathid.kvcache.block_ledger import NAME_BYTES, BlockLedger
from sarathid.kvcache.block_table import BlockTable
from sarathid.kvcache.manager import KVCacheManager
from sarathid.kvcache.prefix_cache import BlockNames, PrefixCache

BLOCK_SIZE = 2
NUM_BLOCKS = 8
SALTS = ("a", "b")


class Context:
    """A sequence as the manager sees it: tokens, of which so many have been written to its blocks."""

    def __init__(self, manager: KVCacheManager, salt: str, token_ids: list[int]) -> None:
        self.salt = salt
        self.token_ids = token_ids
        self.table: BlockTable = manager.new_table()
        self.names = BlockNames(salt, BLOCK_SIZE)
        self.num_written = 0


class PrefixCacheMachine(RuleBasedStateMachine):
    """`slots` holds what was last written to each position of each block: the salt and the context up to it."""

    window: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.kept = bytearray(NUM_BLOCKS * NAME_BYTES)
        self.manager = self.make_manager()
        self.contexts: list[Context] = []
        self.slots: dict[tuple[int, int], tuple[str, tuple[int, ...]]] = {}

    def make_manager(self) -> KVCacheManager:
        ledger = BlockLedger(memoryview(self.kept))
        return KVCacheManager(NUM_BLOCKS, BLOCK_SIZE, PrefixCache(BLOCK_SIZE, self.window, ledger))

    @rule()
    def kill(self) -> None:
        """Leave nothing but what is written: the slots, and what the ledger says of them."""
        self.manager = self.make_manager()
        self.contexts = []

    @precondition(lambda self: len(self.contexts) < 4)
    @rule(salt=st.sampled_from(SALTS), token_ids=st.lists(st.integers(0, 1), min_size=1, max_size=9))
    def start(self, salt: str, token_ids: list[int]) -> None:
        context = Context(self.manager, salt, token_ids)
        prefix = self.manager.find_prefix(context.names, token_ids)
        assert prefix.num_tokens < len(token_ids), "the last token has to be computed"
        self.manager.adopt(context.table, context.names, prefix)
        context.num_written = prefix.num_tokens
        self.contexts.append(context)
        self.check_what_the_next_token_sees(context)

    @precondition(lambda self: self.contexts)
    @rule(index=st.integers(0, 3), num_tokens=st.integers(1, 5))
    def compute(self, index: int, num_tokens: int) -> None:
        context = self.contexts[index % len(self.contexts)]
        end = min(context.num_written + num_tokens, len(context.token_ids))
        if end == context.num_written or not self.manager.grow(context.table, end):
            return
        for position in range(context.num_written, end):
            block = context.table.block_ids[position // BLOCK_SIZE]
            assert self.manager._pool.num_references(block) == 1, "a block is shared while it is written"
            self.slots[block, position % BLOCK_SIZE] = (context.salt, tuple(context.token_ids[: position + 1]))
        context.num_written = end
        self.manager.store(context.table, context.names, context.token_ids, end)
        if self.window is not None:
            self.manager.forget(context.table, end + 1 - self.window)
        self.check_what_the_next_token_sees(context)

    @precondition(lambda self: self.contexts)
    @rule(index=st.integers(0, 3), token_id=st.integers(0, 1))
    def answer(self, index: int, token_id: int) -> None:
        context = self.contexts[index % len(self.contexts)]
        if context.num_written == len(context.token_ids):
            context.token_ids.append(token_id)

    @precondition(lambda self: self.contexts)
    @rule(index=st.integers(0, 3))
    def end(self, index: int) -> None:
        self.manager.release(self.contexts.pop(index % len(self.contexts)).table)

    @invariant()
    def blocks_are_conserved(self) -> None:
        self.manager.check_integrity([context.table for context in self.contexts])
        assert self.manager.num_used_blocks + self.manager.num_free_blocks == NUM_BLOCKS

    @invariant()
    def everybody_finds_what_was_written_for_the_same_tokens(self) -> None:
        for context in self.contexts:
            self.check_what_the_next_token_sees(context)

    def check_what_the_next_token_sees(self, context: Context) -> None:
        seen_from = 0 if self.window is None else max(0, context.num_written + 1 - self.window)
        for position in range(seen_from, context.num_written):
            found = self.slots[context.table.block_ids[position // BLOCK_SIZE], position % BLOCK_SIZE]
            assert found == (context.salt, tuple(context.token_ids[: position + 1]))


class WindowedPrefixCacheMachine(PrefixCacheMachine):
    """With a window over which a block and a half are seen."""

    window = 3


TestPrefixCache = PrefixCacheMachine.TestCase
TestWindowedPrefixCache = WindowedPrefixCacheMachine.TestCase


def fill(manager: KVCacheManager, token_ids: list[int], salt: str = "a") -> Context:
    """Compute a context in a table of its own, behind what is cached of it."""
    context = Context(manager, salt, token_ids)
    manager.adopt(context.table, context.names, manager.find_prefix(context.names, token_ids))
    assert manager.grow(context.table, len(token_ids))
    manager.store(context.table, context.names, token_ids, len(token_ids))
    return context


def num_cached(manager: KVCacheManager, token_ids: list[int], salt: str = "a") -> int:
    return manager.find_prefix(BlockNames(salt, BLOCK_SIZE), token_ids).num_tokens


def test_a_context_is_found_up_to_its_last_full_block_but_for_the_last_token() -> None:
    manager = KVCacheManager(NUM_BLOCKS, BLOCK_SIZE, PrefixCache(BLOCK_SIZE))
    fill(manager, [1, 2, 3, 4, 5])
    assert num_cached(manager, [1, 2, 3, 4, 5, 6]) == 4
    assert num_cached(manager, [1, 2, 3, 4]) == 2
    assert num_cached(manager, [1, 2, 9, 4, 5]) == 2
    assert num_cached(manager, [9, 2, 3, 4, 5]) == 0


def test_nothing_is_shared_across_salts() -> None:
    manager = KVCacheManager(NUM_BLOCKS, BLOCK_SIZE, PrefixCache(BLOCK_SIZE))
    fill(manager, [1, 2, 3], salt="a")
    assert (num_cached(manager, [1, 2, 3], "a"), num_cached(manager, [1, 2, 3], "b")) == (2, 0)


def test_released_blocks_stay_until_their_memory_is_needed_and_the_longest_unused_go_first() -> None:
    manager = KVCacheManager(4, BLOCK_SIZE, PrefixCache(BLOCK_SIZE))
    for token_ids in ([1, 1, 1, 1], [2, 2, 2, 2]):
        manager.release(fill(manager, token_ids).table)
    assert manager.num_free_blocks == 4
    manager.release(fill(manager, [1, 1, 1]).table)  # used again: [2, 2] is the older one now
    assert manager.grow(manager.new_table(), 2 * BLOCK_SIZE)
    assert (num_cached(manager, [1, 1, 1]), num_cached(manager, [2, 2, 2])) == (2, 2)
    assert manager.grow(manager.new_table(), BLOCK_SIZE)
    assert (num_cached(manager, [1, 1, 1]), num_cached(manager, [2, 2, 2])) == (2, 0)


def test_with_a_window_its_blocks_alone_have_to_be_there() -> None:
    manager = KVCacheManager(4, BLOCK_SIZE, PrefixCache(BLOCK_SIZE, sliding_window=3))
    context = fill(manager, [1, 2, 3, 4, 5, 6, 7, 8])
    manager.forget(context.table, 6)  # positions 0 to 5
    assert manager.grow(manager.new_table(), 2 * BLOCK_SIZE)  # overwrites blocks of the beginning
    assert num_cached(manager, [1, 2, 3, 4, 5]) == 0
    prefix = manager.find_prefix(BlockNames("a", BLOCK_SIZE), [1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert (prefix.num_tokens, prefix.num_forgotten, len(prefix.block_ids)) == (8, 3, 1)


def test_what_a_killed_process_had_filled_is_found_by_the_next_and_nothing_else() -> None:
    kept = memoryview(bytearray(NUM_BLOCKS * NAME_BYTES))
    first = KVCacheManager(NUM_BLOCKS, BLOCK_SIZE, PrefixCache(BLOCK_SIZE, ledger=BlockLedger(kept)))
    held = fill(first, [1, 2, 3, 4, 5])
    first.distrust(fill(first, [6, 7, 8]).table)
    first.release(fill(first, [9, 9, 9]).table)
    second = KVCacheManager(NUM_BLOCKS, BLOCK_SIZE, PrefixCache(BLOCK_SIZE, ledger=BlockLedger(kept)))

    assert second.num_free_blocks == NUM_BLOCKS
    found = second.find_prefix(BlockNames("a", BLOCK_SIZE), [1, 2, 3, 4, 5])
    assert found.block_ids == held.table.block_ids[:2]
    assert (num_cached(second, [9, 9, 9]), num_cached(second, [6, 7, 8])) == (2, 0)


def test_a_name_that_was_cut_off_is_nobodys() -> None:
    kept = memoryview(bytearray(NUM_BLOCKS * NAME_BYTES))
    fill(KVCacheManager(NUM_BLOCKS, BLOCK_SIZE, PrefixCache(BLOCK_SIZE, ledger=BlockLedger(kept))), [1, 2, 3])
    for place in range(NAME_BYTES // 2, len(kept), NAME_BYTES):
        kept[place : place + NAME_BYTES // 2] = bytes(NAME_BYTES // 2)
    second = KVCacheManager(NUM_BLOCKS, BLOCK_SIZE, PrefixCache(BLOCK_SIZE, ledger=BlockLedger(kept)))

    assert num_cached(second, [1, 2, 3]) == 0
    assert num_cached(second, [1, 2, 3, 4, 5]) == 0
    fill(second, [1, 2, 3])
    assert num_cached(second, [1, 2, 3]) == 2


def test_without_a_cache_nothing_is_found_or_kept() -> None:
    manager = KVCacheManager(NUM_BLOCKS, BLOCK_SIZE)
    fill(manager, [1, 2, 3])
    assert num_cached(manager, [1, 2, 3]) == 0
