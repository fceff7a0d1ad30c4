"""Which block holds which beginning of a context, so that nobody computes it again."""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sarathid.kvcache.block_ledger import NAME_BYTES, BlockLedger


class BlockNames:
    """The names of one sequence's full blocks, made when they are first asked for.

    A name is the BLAKE2b hash of a block's tokens and of the name before it, so that equal names mean equal tokens from
    the first position on. The first follows a salt: sequences with different salts have no name in common.
    `num_stored` of the blocks are in the cache, or another one of the same name is.
    """

    __slots__ = ("_block_size", "_names", "_salt", "num_stored")

    def __init__(self, salt: str, block_size: int) -> None:
        self._salt = hashlib.blake2b(salt.encode(errors="surrogatepass")).digest()
        self._block_size = block_size
        self._names: list[bytes] = []
        self.num_stored = 0

    def of(self, token_ids: Sequence[int], num_blocks: int) -> list[bytes]:
        """Return the names of the first `num_blocks` blocks of `token_ids`, which only ever grow."""
        size = self._block_size
        for start in range(len(self._names) * size, num_blocks * size, size):
            before = self._names[-1] if self._names else self._salt
            tokens = array("q", token_ids[start : start + size]).tobytes()
            self._names.append(hashlib.blake2b(before + tokens, digest_size=NAME_BYTES).digest())
        return self._names[:num_blocks]


@dataclass(frozen=True, slots=True)
class CachedPrefix:
    """Blocks that hold the first `num_tokens` tokens, the first `num_forgotten` of them (not in `block_ids`) unread."""

    num_tokens: int = 0
    block_ids: tuple[int, ...] = ()
    num_forgotten: int = 0


NOTHING_CACHED = CachedPrefix()


class PrefixCache:
    """Full blocks by name, each with a name of its own; who holds them, and until when, is not its business.

    With a `ledger` it begins with what is entered there, by a process that is gone say, and keeps that up to date.
    """

    def __init__(self, block_size: int, sliding_window: int | None = None, ledger: BlockLedger | None = None) -> None:
        self._block_size = block_size
        self._sliding_window = sliding_window
        self._ledger = ledger
        self._name_of: dict[int, bytes] = {} if ledger is None else dict(ledger)
        self._block_of = {name: block for block, name in self._name_of.items()}

    @property
    def blocks(self) -> tuple[int, ...]:
        """All blocks that have a name."""
        return tuple(self._name_of)

    def find(self, names: Sequence[bytes]) -> CachedPrefix:
        """Return the longest beginning of the blocks of these names that can be gone on from.

        All blocks of it must be there that a token behind it sees: with a sliding window, the last ones.
        """
        end = run_start = 0
        for index, name in enumerate(names):
            if name not in self._block_of:
                run_start = index + 1
                if self._sliding_window is None:
                    break
            elif run_start <= self._num_unseen(index + 1):
                end = index + 1
        if end == 0:
            return NOTHING_CACHED
        num_forgotten = self._num_unseen(end)
        blocks = tuple([self._block_of[name] for name in names[num_forgotten:end]])
        return CachedPrefix(end * self._block_size, blocks, num_forgotten)

    def store(self, name: bytes, block: int) -> bool:
        """Enter a block under a name; False, and nothing, where another one has it."""
        if name in self._block_of:
            return False
        assert block not in self._name_of
        self._block_of[name] = block
        self._name_of[block] = name
        if self._ledger is not None:
            self._ledger.enter(block, name)
        return True

    def discard(self, blocks: Iterable[int]) -> None:
        """Forget those of `blocks` that are here: something else will lie in them."""
        for block in blocks:
            name = self._name_of.pop(block, None)
            if name is not None:
                del self._block_of[name]
                if self._ledger is not None:
                    self._ledger.erase(block)

    def _num_unseen(self, num_blocks: int) -> int:
        """Return how many of the first `num_blocks` blocks no token behind them sees."""
        if self._sliding_window is None:
            return 0
        return max(0, num_blocks * self._block_size + 1 - self._sliding_window) // self._block_size
