"""Who waits is kept by arrival within each owner, owners take turns, and those that have run before are counted."""

from sarathid.kvcache.block_table import BlockTable
from sarathid.scheduler.fair_share import Account
from sarathid.scheduler.sequence import Sequence
from sarathid.scheduler.waiting_queue import WaitingQueue
from tests.factories import make_request

SOMEBODY = Account("somebody")


def make_sequence(order: int, num_preemptions: int = 0, account: Account | None = None) -> Sequence:
    sequence = Sequence(make_request(order), order, 64, BlockTable(4), account=account or SOMEBODY, place=order)
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
    assert queue.head is first
    queue.remove(first)
    counts.append(queue.num_preempted)
    for sequence in (fresh, second):
        queue.remove(sequence)
        counts.append(queue.num_preempted)

    assert counts == [0, 1, 2, 1, 1, 0]


def test_the_head_is_of_the_owner_that_had_least_unless_one_that_has_run_before_waits() -> None:
    poor, rich = Account("poor"), Account("rich")
    rich.num_charged = 100
    rich_one, poor_one, resumed = (
        make_sequence(1, account=rich),
        make_sequence(2, account=poor),
        make_sequence(0, num_preemptions=1, account=rich),
    )
    queue = WaitingQueue()
    queue.add(rich_one)
    queue.add(poor_one)
    assert queue.head is rich_one, "who did not wait has saved tokens up"
    rich.num_charged += 1
    assert queue.head is poor_one
    queue.add(resumed)
    assert queue.head is resumed
