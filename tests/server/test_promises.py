import msgspec

from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import ChunkStats
from sarathid.protocol.why import KeptPromise, PromiseRecord, StartPromise
from sarathid.server.promises import MAX_KEPT, StartPromises
from tests.factories import make_iteration
from tests.telemetry.test_board import make_ended


def start(promises: StartPromises, request_id: int, at_s: float) -> None:
    promises.observe(make_iteration(start_s=at_s, chunks=(ChunkStats(request_id, 0, 8, 8),)))


def test_the_first_promise_counts_however_often_one_asks() -> None:
    promises = StartPromises()
    assert promises.make(7, now_s=10.0, starts_in_s=4.0) == StartPromise(age_s=0.0, due_s=4.0)
    assert promises.make(7, now_s=11.0, starts_in_s=9.0) == StartPromise(age_s=1.0, due_s=3.0)
    assert promises.make(7, now_s=15.0, starts_in_s=None) == StartPromise(age_s=5.0, due_s=-1.0)


def test_a_start_tells_how_far_the_promise_was_off() -> None:
    promises = StartPromises()
    promises.make(7, now_s=10.0, starts_in_s=4.0)
    start(promises, 8, at_s=12.0)
    assert promises.find(7) is None
    start(promises, 7, at_s=13.5)
    start(promises, 7, at_s=19.0)  # a later chunk
    assert promises.find(7) == KeptPromise(request_id=7, ahead_s=4.0, late_s=-0.5)
    assert promises.record() == PromiseRecord(count=1, median_error_s=0.5)


def test_what_ends_before_it_starts_broke_no_promise() -> None:
    promises = StartPromises()
    promises.make(7, now_s=10.0, starts_in_s=4.0)
    promises.observe(msgspec.structs.replace(make_ended(FinishReason.CANCELLED), request_id=7))
    start(promises, 7, at_s=30.0)
    assert promises.record() == PromiseRecord(count=0, median_error_s=None)


def test_without_an_estimate_there_is_no_promise() -> None:
    assert StartPromises().make(7, now_s=10.0, starts_in_s=None) is None


def test_only_so_many_are_remembered() -> None:
    promises = StartPromises()
    for number in range(MAX_KEPT + 5):
        promises.make(number, now_s=0.0, starts_in_s=1.0)
        start(promises, number, at_s=1.25)
    assert promises.record() == PromiseRecord(count=MAX_KEPT, median_error_s=0.25)
