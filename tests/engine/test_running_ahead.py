"""Batches that are put together while the one before them runs: the same tokens, in the same batches, sooner."""

from itertools import pairwise

import msgspec
import pytest

from sarathid.protocol.requests import FinishReason, Request
from sarathid.protocol.stats import IterationScheduled
from sarathid.scheduler.batch import AWAITED_TOKEN, ScheduledBatch
from tests.factories import Engine, expected_output, make_request


def make_engines(**kind: object) -> tuple[Engine, Engine]:
    """Return an engine that runs ahead and one that does not."""
    return Engine(**kind, runs_ahead=True), Engine(**kind)  # type: ignore[arg-type]


def run(engine: Engine, *requests: Request) -> Engine:
    for request in requests:
        engine.add(request)
    engine.run()
    return engine


def rows(batch: ScheduledBatch) -> list[tuple[int, int, int]]:
    """Return whose tokens a batch computes, from which position on, and how many."""
    return [(row.request_id, row.first_position, row.num_tokens) for row in batch.sequences]


def with_sampling(request: Request, **changes: object) -> Request:
    return msgspec.structs.replace(request, sampling=msgspec.structs.replace(request.sampling, **changes))


def test_batches_and_tokens_are_those_of_an_engine_that_waits() -> None:
    requests = [make_request(i, num_prompt_tokens=9 * i, max_tokens=5 + i) for i in range(1, 6)]
    ahead, waiting = make_engines(token_budget=12)

    assert run(ahead, *requests).outputs == run(waiting, *requests).outputs
    assert [rows(batch) for batch in ahead.executor.batches] == [rows(batch) for batch in waiting.executor.batches]
    awaited = [row for batch in ahead.executor.batches for row in batch.decodes if row.token_ids == (AWAITED_TOKEN,)]
    assert len(awaited) == sum(len(batch.decodes) for batch in ahead.executor.batches)


def test_who_ends_by_its_token_is_left_out_of_the_batch_that_had_begun_and_gives_its_blocks_back() -> None:
    request = make_request(1, max_tokens=50)
    end = expected_output(request, 7)[-1]
    other = make_request(2, max_tokens=30)
    ahead = run(Engine(runs_ahead=True), with_sampling(request, stop_token_ids=(end,)), other)

    assert ahead.outputs == {1: expected_output(request, 7), 2: expected_output(other, 30)}
    assert ahead.reasons == {1: FinishReason.STOP, 2: FinishReason.LENGTH}
    num_rows = [sum(row.request_id == i for batch in ahead.executor.batches for row in batch.sequences) for i in (1, 2)]
    assert num_rows == [7 + 1, 30]  # nobody knew that the seventh was the last; the thirtieth was, by its number
    assert ahead.iterations[-1].num_blocks_used == 0


def test_who_is_cancelled_while_two_batches_hold_it_ends_at_once() -> None:
    engine = Engine(runs_ahead=True)
    engine.add(make_request(1, max_tokens=50))
    engine.step()
    assert engine.core.begun is not None
    engine.core.launch_ahead()
    engine.take(engine.core.cancel(1, FinishReason.CANCELLED))
    given = len(engine.outputs[1])
    engine.run()

    assert (len(engine.outputs[1]), engine.reasons[1]) == (given, FinishReason.CANCELLED)
    assert engine.iterations[-1].num_blocks_used == 0


@pytest.mark.parametrize("params", [{"presence_penalty": 0.5}, {"repetition_penalty": 1.2}])
def test_where_a_token_decides_how_the_next_is_drawn_all_wait_for_it(params: dict[str, float]) -> None:
    ahead, waiting = make_engines()
    requests = (with_sampling(make_request(1, max_tokens=9), **params), make_request(2, max_tokens=4))

    assert run(ahead, *requests).outputs == run(waiting, *requests).outputs
    assert [rows(batch) for batch in ahead.executor.batches] == [rows(batch) for batch in waiting.executor.batches]
    decodes = [row for batch in ahead.executor.batches for row in batch.decodes]
    assert all(row.token_ids != (AWAITED_TOKEN,) for row in decodes)


def test_an_iteration_begins_when_the_one_before_it_ends_and_is_as_long_as_its_gaps() -> None:
    engine = run(Engine(runs_ahead=True), make_request(1, max_tokens=20), make_request(2, max_tokens=20))

    for before, stats in pairwise(engine.iterations):
        assert stats.start_s == before.end_s
        assert stats.idle_s == stats.schedule_s == 0.0
        assert [gap.tbt_s for gap in stats.gaps] == pytest.approx([stats.execute_s] * len(stats.gaps))


def test_a_batch_is_put_together_late_so_that_who_comes_meanwhile_is_in_it() -> None:
    engine = Engine(runs_ahead=True)
    run(engine, make_request(1, max_tokens=30))  # from which it learns what an iteration takes
    engine.add(make_request(2, max_tokens=30))
    for _ in range(3):
        engine.step()
    begun = engine.core.begun
    assert begun is not None and begun.predicted_s is not None
    assert 0.5 * begun.predicted_s < engine.core.spare_s < begun.predicted_s

    engine.clock.advance(engine.core.spare_s)
    engine.add(make_request(3, num_prompt_tokens=4))
    assert engine.core.spare_s == 0.0
    engine.core.launch_ahead()
    assert [rows(engine.executor.batches[-1])[1][0]] == [3]


def test_a_request_is_scheduled_when_its_batch_begins_not_when_that_was_foreseen() -> None:
    engine = Engine(runs_ahead=True)
    engine.add(make_request(1, max_tokens=30))
    engine.core.launch()
    engine.add(make_request(2, max_tokens=1))
    engine.add(make_request(3, max_tokens=1))
    engine.core.launch_ahead()
    engine.clock.advance(0.5)  # which nobody foresaw
    cancelled = engine.core.cancel(3, FinishReason.CANCELLED)
    collected = [engine.core.collect() for _ in range(2)]

    assert cancelled is not None and cancelled.finished[0].scheduled_s is None
    (output,) = [output for output in collected if output is not None and output.finished]
    assert output.stats is not None
    assert output.finished[0].scheduled_s == output.stats.start_s > 0.5


def test_there_is_no_time_to_spare_where_nothing_runs_or_nobody_can_be_put_behind_it() -> None:
    ahead, waiting = make_engines()
    assert (ahead.core.spare_s, ahead.core.begun) == (0.0, None)
    for engine in (ahead, waiting):
        engine.add(make_request(1))
        engine.core.launch()
    assert waiting.core.spare_s == 0.0
    ahead.core.launch_ahead()
    assert ahead.core.spare_s == 0.0


def test_what_begins_is_told_before_it_is_handed_over_since_that_may_take_long() -> None:
    engine, told = Engine(runs_ahead=True), list[tuple[IterationScheduled, int]]()
    engine.add(make_request(1))
    scheduled = engine.core.launch(lambda begun: told.append((begun, len(engine.executor.batches))))
    assert told == [(scheduled, 0)]
    engine.core.launch_ahead()
    assert len(told) == 1 and len(engine.executor.batches) == 2
