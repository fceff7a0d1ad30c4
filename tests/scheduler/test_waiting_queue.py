"""Who waits is kept by arrival, and those that have run before are counted."""

from sarathid.kvcache.block_table import BlockTable
from sarathid.scheduler.sequence import Sequence
from sarathid.scheduler.waiting_queue import WaitingQueue
from tests.factories import make_request


def make_sequence(order: int, num_preemptions: int = 0) -> Sequence:
    sequence = Sequence(make_request(order), order, 64, BlockTable(4))
    sequence.num_preemptions = num_preemptions
    return sequence


def test_a_preempted_sequence_comes_before_any_newer_one() -> None:
    queue = WaitingQueue()
    for sequence in (make_sequence(3), make_sequence(4), make_sequence(1, num_preemptions=1)):
        queue.add(sequence)

    assert [sequence.order for sequence in queue] == [1, 3, 4]
    assert queue.head is next(iter(queue))


def test_the_preempted_are_counted_while_they_wait() -> None:
    queue = WaitingQueue()
    first, second, fresh = make_sequence(1, 1), make_sequence(2, 3), make_sequence(3)
    counts = []
    for sequence in (fresh, second, first):
        queue.add(sequence)
        counts.append(queue.num_preempted)
    assert queue.pop() is first
    counts.append(queue.num_preempted)
    for sequence in (fresh, second):
        queue.remove(sequence)
        counts.append(queue.num_preempted)

    assert counts == [0, 1, 2, 1, 1, 0]
