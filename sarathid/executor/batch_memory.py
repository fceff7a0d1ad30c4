"""Shared memory in which an engine leaves each batch for all ranks of its node.

It has a slot for each batch that may be in flight. Batch n lies in slot n modulo their number: when batch n + slots is
written, batch n was collected, so that every rank has read it, and nobody need say so. The memory has no name and is
gone with the last process that has it, however that ends.
"""

import mmap
import os
import select
import struct
from collections.abc import Sequence

MAX_BATCH_BYTES = 64 << 20  # a slot takes as much memory as the longest batch that it ever held

_LENGTH = struct.Struct("<Q")
_SLOT_BYTES = MAX_BATCH_BYTES + mmap.PAGESIZE


class BatchWriter:
    """The engine's side: `descriptor` is the memory's, `arrivals` one event for each reader; both are to be inherited.

    Raises `ValueError` for a batch that no slot holds.
    """

    def __init__(self, num_slots: int, num_readers: int) -> None:
        self._num_slots = num_slots
        self._num_written = 0
        self.descriptor = os.memfd_create("sarathid-batches")
        os.ftruncate(self.descriptor, num_slots * _SLOT_BYTES)
        self.arrivals: Sequence[int] = [os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_CLOEXEC) for _ in range(num_readers)]
        self._memory = mmap.mmap(self.descriptor, num_slots * _SLOT_BYTES)

    def put(self, batch: bytes) -> None:
        """Leave a batch for every reader."""
        if len(batch) > MAX_BATCH_BYTES:
            raise ValueError(f"a batch of {len(batch)} bytes is longer than the {MAX_BATCH_BYTES} that a slot holds")
        start = self._num_written % self._num_slots * _SLOT_BYTES
        _LENGTH.pack_into(self._memory, start, len(batch))
        self._memory[start + _LENGTH.size : start + _LENGTH.size + len(batch)] = batch
        self._num_written += 1
        for arrival in self.arrivals:
            os.eventfd_write(arrival, 1)

    def close(self) -> None:
        """Let go of the memory; safe to call twice."""
        if self._memory.closed:
            return
        self._memory.close()
        for descriptor in (self.descriptor, *self.arrivals):
            os.close(descriptor)


class BatchReader:
    """A rank's side; `lifeline` is a pipe whose end means that the engine is gone."""

    def __init__(self, descriptor: int, arrivals: int, lifeline: int) -> None:
        num_bytes = os.fstat(descriptor).st_size
        self._memory = memoryview(mmap.mmap(descriptor, num_bytes, prot=mmap.PROT_READ))
        self._num_slots = num_bytes // _SLOT_BYTES
        self._num_read = 0
        self._arrivals = arrivals
        self._lifeline = lifeline
        self._poller = select.poll()
        for source in (arrivals, lifeline):
            self._poller.register(source, select.POLLIN)

    @property
    def has_more(self) -> bool:
        """Whether `take` would not wait."""
        return bool(self._poller.poll(0))

    def take(self) -> memoryview | None:
        """Wait for the next batch and return it where it lies; None when the engine is gone."""
        ready = dict(self._poller.poll())
        if self._lifeline in ready:
            return None
        os.eventfd_read(self._arrivals)
        start = self._num_read % self._num_slots * _SLOT_BYTES
        self._num_read += 1
        (length,) = _LENGTH.unpack_from(self._memory, start)
        return self._memory[start + _LENGTH.size : start + _LENGTH.size + length]
