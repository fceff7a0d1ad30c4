"""Memory of the daemon's in which a KV cache outlives the engine that filled it, so that the next one need not."""

import hashlib
import mmap
import os
import struct
from dataclasses import dataclass
from typing import Self

from sarathid.kvcache.block_ledger import NAME_BYTES, BlockLedger

_HEAD = struct.Struct("=32sQd")


@dataclass(frozen=True, slots=True)
class KeptCache:
    """What an engine left: a KV cache of so many blocks, and the isolated decode iteration that it measured."""

    num_blocks: int
    isolated_decode_s: float


class KeptMemory:
    """A file that has no name and is gone with the last process that has it open, however that ends.

    It begins with a mark, which tells of which model and layout the cache is, written when all else stands: a cache
    under another mark, or none, is worth nothing. Then come the `ledger`, None before it is open, and, from a page on,
    keys and values.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ledger: BlockLedger | None = None

    @classmethod
    def create(cls) -> Self:
        """Return memory that holds nothing and takes nothing."""
        return cls(os.memfd_create("sarathid-kv"))

    def find(self, mark: bytes) -> KeptCache | None:
        """Return the cache that was left under a mark, None if there is none; any other is let go."""
        head = os.pread(self.descriptor, _HEAD.size, 0)
        if len(head) == _HEAD.size:
            found, num_blocks, isolated_decode_s = _HEAD.unpack(head)
            if found == mark:
                return KeptCache(num_blocks, isolated_decode_s)
        self.forget()
        return None

    def open(self, num_blocks: int, num_bytes: int) -> memoryview:
        """Open the ledger, of so many blocks, and return the room for so many bytes of keys and values.

        What was found lies in them, else zeros.
        """
        values_start = -(-(_HEAD.size + num_blocks * NAME_BYTES) // mmap.PAGESIZE) * mmap.PAGESIZE
        total = values_start + num_bytes
        os.ftruncate(self.descriptor, total)
        room = memoryview(mmap.mmap(self.descriptor, total))
        self.ledger = BlockLedger(room[_HEAD.size : _HEAD.size + num_blocks * NAME_BYTES])
        return room[values_start:]

    def sign(self, mark: bytes, cache: KeptCache) -> None:
        """Have what lies here be found under a mark from now on."""
        os.pwrite(self.descriptor, _HEAD.pack(mark, cache.num_blocks, cache.isolated_decode_s), 0)

    def forget(self) -> None:
        """Let the memory go, while nobody has it in use."""
        os.ftruncate(self.descriptor, 0)

    def close(self) -> None:
        os.close(self.descriptor)


def mark_of(*facts: object) -> bytes:
    """Return the mark of caches of which all these facts are the same."""
    return hashlib.blake2b(repr(facts).encode(), digest_size=32).digest()
