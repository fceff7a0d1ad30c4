"""The names of cached blocks, written where they outlive the process."""

from collections.abc import Iterator

NAME_BYTES = 32
_NOTHING = bytes(NAME_BYTES)


class BlockLedger:
    """Which block has which name, in `room`: a name's bytes for each block, zeros for a block without one.

    A block is entered when it is filled and erased before anything else is written to it, so that at any moment what
    is entered lies there. A write that is cut off leaves a name that no tokens have.
    """

    def __init__(self, room: memoryview) -> None:
        self._room = room

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield each block that has a name, with it."""
        for block in range(len(self._room) // NAME_BYTES):
            name = bytes(self._room[self._place(block)])
            if name != _NOTHING:
                yield block, name

    def enter(self, block: int, name: bytes) -> None:
        """Give a filled block its name."""
        self._room[self._place(block)] = name

    def erase(self, block: int) -> None:
        """Take a block's name away."""
        self._room[self._place(block)] = _NOTHING

    @staticmethod
    def _place(block: int) -> slice:
        return slice(block * NAME_BYTES, (block + 1) * NAME_BYTES)
