"""Batches reach every reader in order, from memory that nobody else can find, and the end of the writer is told."""

import os

import pytest

from sarathid.executor.batch_memory import MAX_BATCH_BYTES, BatchReader, BatchWriter

NUM_SLOTS = 2


class Memory:
    """A writer and two readers that have inherited what they need."""

    def __init__(self) -> None:
        self.writer = BatchWriter(NUM_SLOTS, num_readers=2)
        lifeline, self.held = os.pipe()
        self.readers = [BatchReader(self.writer.descriptor, event, lifeline) for event in self.writer.arrivals]


def test_every_reader_gets_every_batch_in_order() -> None:
    memory = Memory()
    batches = [bytes([index]) * (index * 1000) for index in range(7)]
    for first in range(0, len(batches), NUM_SLOTS):
        some = batches[first : first + NUM_SLOTS]
        for batch in some:
            memory.writer.put(batch)
        for reader in memory.readers:
            taken = []
            while reader.has_more:
                batch_or_end = reader.take()
                assert batch_or_end is not None
                taken.append(bytes(batch_or_end))
            assert taken == some


def test_the_end_of_the_engine_ends_the_waiting() -> None:
    memory = Memory()
    assert not memory.readers[0].has_more
    os.close(memory.held)
    assert memory.readers[0].has_more
    assert memory.readers[0].take() is None


def test_a_batch_that_no_slot_holds_is_refused() -> None:
    memory = Memory()
    with pytest.raises(ValueError, match="longer than"):
        memory.writer.put(bytes(MAX_BATCH_BYTES + 1))
    assert not memory.readers[0].has_more


def test_the_memory_has_no_name() -> None:
    before = set(os.listdir("/dev/shm"))
    memory = Memory()
    assert set(os.listdir("/dev/shm")) == before
    memory.writer.close()
