"""What a sequence's life asks of the KV cache's manager: blocks, more of them, all back; and whose prefix is there."""

from functools import partial

from sarathid.kvcache.block_table import BlockTable
from sarathid.kvcache.manager import KVCacheManager
from sarathid.kvcache.prefix_cache import BlockNames, PrefixCache
from tests.bench.hot_paths.hot_path import HotPath, Operations

BLOCK_SIZE = 16
NUM_TABLES = 32
NUM_PROMPT_TOKENS = 512
NUM_BLOCKS = 2 * NUM_TABLES * NUM_PROMPT_TOKENS // BLOCK_SIZE
SALT = "bench"


def allocate() -> Operations:
    manager = KVCacheManager(NUM_BLOCKS, BLOCK_SIZE)
    while True:
        tables = [manager.new_table() for _ in range(NUM_TABLES)]
        yield partial(_grow, manager, tables, NUM_PROMPT_TOKENS)
        _release(manager, tables)


def append() -> Operations:
    """Let tables grow by a block's tokens, one at a time: they take a block once."""
    manager = KVCacheManager(NUM_BLOCKS, BLOCK_SIZE)
    while True:
        tables = _filled_tables(manager)
        yield partial(_grow_by_a_block, manager, tables)
        _release(manager, tables)


def release() -> Operations:
    manager = KVCacheManager(NUM_BLOCKS, BLOCK_SIZE)
    while True:
        yield partial(_release, manager, _filled_tables(manager))


def find_prefix() -> Operations:
    """Name a prompt's blocks, as a request that has just arrived has it done, and find all but the last."""
    manager = KVCacheManager(NUM_BLOCKS, BLOCK_SIZE, PrefixCache(BLOCK_SIZE))
    token_ids = list(range(NUM_PROMPT_TOKENS))
    (table,) = _filled_tables(manager, num_tables=1)
    manager.store(table, BlockNames(SALT, BLOCK_SIZE), token_ids, NUM_PROMPT_TOKENS)
    assert manager.find_prefix(BlockNames(SALT, BLOCK_SIZE), token_ids).num_tokens == NUM_PROMPT_TOKENS - BLOCK_SIZE
    while True:
        yield lambda: manager.find_prefix(BlockNames(SALT, BLOCK_SIZE), token_ids)


def _filled_tables(manager: KVCacheManager, num_tables: int = NUM_TABLES) -> list[BlockTable]:
    tables = [manager.new_table() for _ in range(num_tables)]
    _grow(manager, tables, NUM_PROMPT_TOKENS)
    return tables


def _grow(manager: KVCacheManager, tables: list[BlockTable], num_tokens: int) -> None:
    for table in tables:
        assert manager.grow(table, num_tokens)


def _grow_by_a_block(manager: KVCacheManager, tables: list[BlockTable]) -> None:
    for num_appended in range(1, BLOCK_SIZE + 1):
        _grow(manager, tables, NUM_PROMPT_TOKENS + num_appended)


def _release(manager: KVCacheManager, tables: list[BlockTable]) -> None:
    for table in tables:
        manager.release(table)


KV_BLOCKS = (
    HotPath("kv allocate, 32 tables of 512 tokens", allocate),
    HotPath("kv append, 32 tables by 16 tokens", append),
    HotPath("kv release, 32 tables of 512 tokens", release),
    HotPath("kv prefix lookup, 512 tokens", find_prefix),
)
