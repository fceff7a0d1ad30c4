"""What must hold of the batches that a pipeline has in flight, over random loads and cancellations."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarathid.protocol.requests import FinishReason
from sarathid.scheduler.batch import ScheduledBatch
from tests.factories import Engine, expected_output, make_request

MAX_MODEL_LEN = 24

engines = st.fixed_dictionaries(
    {
        "max_batches_in_flight": st.integers(1, 4),
        "block_size": st.sampled_from((1, 2, 4)),
        "num_blocks": st.integers(24, 40),
        "max_num_seqs": st.integers(1, 8),
        "token_budget": st.sampled_from((1, 3, 8, 32)),
    }
)
loads = st.lists(st.tuples(st.integers(1, MAX_MODEL_LEN - 1), st.integers(1, 8)), min_size=1, max_size=10)


class Watched:
    """An engine whose every batch is held against what those before it did."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._scheduler = engine.core._scheduler
        self._num_computed: defaultdict[int, int] = defaultdict(int)
        self.num_preempted = 0
        self._num_left_out: defaultdict[int, int] = defaultdict(int)

    def launch(self) -> None:
        """Launch as many batches as the pipeline takes."""
        is_launched = True
        while is_launched:
            running = tuple(self._scheduler._running)
            ready = {sequence.request_id for sequence in running if sequence.is_decoding}
            is_launched = self.engine.core.launch() is not None
            preempted = {sequence.request_id for sequence in running if sequence not in self._scheduler._running}
            self.num_preempted += len(preempted)
            for request_id in preempted:
                self._num_computed[request_id] = 0
            if is_launched:
                self._check(self.engine.executor.batches[-1], ready - preempted)

    def _check(self, batch: ScheduledBatch, ready: set[int]) -> None:
        for sequence in batch.sequences:
            assert sequence.first_position == self._num_computed[sequence.request_id], "computed twice, or left out"
            self._num_computed[sequence.request_id] += sequence.num_tokens
        decoding = {sequence.request_id for sequence in batch.decodes}
        for request_id in decoding:
            self._num_left_out[request_id] = 0
        for request_id in ready - decoding:
            self._num_left_out[request_id] += 1
            assert self._num_left_out[request_id] <= self.engine.executor.max_batches_in_flight, "a decode waits"


@settings(max_examples=300, deadline=None)
@given(shape=engines, load=loads, cancelled=st.sets(st.integers(1, 10), max_size=3), pause=st.integers(0, 6))
def test_micro_batches_keep_every_promise(
    shape: dict[str, int], load: list[tuple[int, int]], cancelled: set[int], pause: int
) -> None:
    engine = Engine(max_model_len=MAX_MODEL_LEN, **shape)  # type: ignore[arg-type]
    watched = Watched(engine)
    requests = {i: make_request(i, num_prompt, max_tokens=most) for i, (num_prompt, most) in enumerate(load, start=1)}
    for number, request in requests.items():
        engine.add(request)
        if number % 3 == 0:
            watched.launch()
            engine.take(engine.core.collect())
    for step in range(2000):
        watched.launch()
        if step == pause:
            for request_id in sorted(cancelled & set(requests) - set(engine.reasons)):
                engine.take(engine.core.cancel(request_id, FinishReason.CANCELLED))
        engine.take(engine.core.collect())
        engine.core._scheduler.check_integrity()
        if not engine.core.has_work:
            break

    assert not engine.core.has_work, "a request never finished"
    assert sum(len(stats.preempted) for stats in engine.iterations) == watched.num_preempted, "a preemption is not told"
    for request_id, request in requests.items():
        output = engine.outputs[request_id]
        assert output == expected_output(request, len(output)), "the cache held something else"
        if engine.reasons[request_id] is not FinishReason.CANCELLED:
            assert len(output) == min(load[request_id - 1][1], MAX_MODEL_LEN - load[request_id - 1][0])


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_decodes_that_began_in_one_batch_are_shared_out(depth: int) -> None:
    engine = Engine(max_batches_in_flight=depth, token_budget=64, num_blocks=256)
    for i in range(12):
        engine.add(make_request(i, num_prompt_tokens=4, max_tokens=20))
    engine.step()
    for _ in range(2 * depth):
        engine.step()
    num_decodes = [len(batch.decodes) for batch in engine.executor.batches[-depth:]]
    assert sum(num_decodes) == 12
    assert max(num_decodes) - min(num_decodes) <= 2
