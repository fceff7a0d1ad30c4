"""The blocks of one sequence, in the order of its positions."""


def num_blocks_for(num_tokens: int, block_size: int) -> int:
    """Return how many blocks hold `num_tokens` positions."""
    return -(-num_tokens // block_size)


class BlockTable:
    """Position p of the sequence lives in slot p % block_size of block `block_ids[p // block_size]`.

    `capacity` is how many positions its blocks can hold. The ids are a tuple, made anew only when
    the table grows, because every iteration's batch carries them. The first `num_forgotten` of them were
    given back: they lie before the sliding window, and are never read again.
    """

    __slots__ = ("block_ids", "block_size", "capacity", "num_forgotten")

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.block_ids: tuple[int, ...] = ()
        self.capacity = 0
        self.num_forgotten = 0

    @property
    def held(self) -> tuple[int, ...]:
        """The blocks that are the sequence's own."""
        return self.block_ids[self.num_forgotten :]

    def num_missing(self, num_tokens: int) -> int:
        """Return how many more blocks it takes to hold `num_tokens` positions."""
        if num_tokens <= self.capacity:
            return 0
        return num_blocks_for(num_tokens, self.block_size) - len(self.block_ids)

    def extend(self, block_ids: list[int]) -> None:
        """Append blocks for the positions behind those there are."""
        self.block_ids += tuple(block_ids)
        self.capacity += len(block_ids) * self.block_size

    def begin_with(self, num_forgotten: int, block_ids: tuple[int, ...]) -> None:
        """Let an empty table begin with blocks that are filled already, the first `num_forgotten` long given back."""
        assert not self.block_ids
        self.block_ids = (0,) * num_forgotten + block_ids
        self.num_forgotten = num_forgotten
        self.capacity = len(self.block_ids) * self.block_size

    def forget(self, num_tokens: int) -> tuple[int, ...]:
        """Return the blocks, given back by this, that hold no position from `num_tokens` on."""
        first, self.num_forgotten = self.num_forgotten, max(self.num_forgotten, num_tokens // self.block_size)
        return self.block_ids[first : self.num_forgotten]

    def clear(self) -> tuple[int, ...]:
        """Empty the table and return the blocks that it held."""
        held = self.held
        self.block_ids, self.capacity, self.num_forgotten = (), 0, 0
        return held
