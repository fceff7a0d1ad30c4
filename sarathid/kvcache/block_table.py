"""The blocks of one sequence, in the order of its positions."""


def num_blocks_for(num_tokens: int, block_size: int) -> int:
    """Return how many blocks hold `num_tokens` positions."""
    return -(-num_tokens // block_size)


class BlockTable:
    """Position p of the sequence lives in slot p % block_size of block `block_ids[p // block_size]`."""

    __slots__ = ("block_ids", "block_size")

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.block_ids: list[int] = []

    @property
    def capacity(self) -> int:
        """Positions that the blocks taken so far can hold."""
        return len(self.block_ids) * self.block_size

    def num_missing(self, num_tokens: int) -> int:
        """Return how many more blocks it takes to hold `num_tokens` positions."""
        return max(0, num_blocks_for(num_tokens, self.block_size) - len(self.block_ids))
