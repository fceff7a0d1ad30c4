import itertools

import pytest

from sarathid.errors import ControlRefused, RequestRefused
from sarathid.protocol.requests import FinishReason, Request, SamplingParams
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import RequestStats
from sarathid.protocol.step import ChangeSettings, NewTokens
from tests.factories import EOS, Engine, expected_output, make_request


def test_output_does_not_depend_on_budget_or_mates() -> None:
    for token_budget in (1, 3, 16, 4096):
        engine = Engine(token_budget=token_budget)
        requests = [make_request(i, num_prompt_tokens=5 * i, max_tokens=6) for i in range(1, 6)]
        for request in requests:
            engine.add(request)
        engine.run()
        assert engine.outputs == {request.request_id: expected_output(request, 6) for request in requests}
        assert set(engine.reasons.values()) == {FinishReason.LENGTH}


def test_tokens_of_requests_that_go_on_are_told_ahead_and_ends_with_the_record() -> None:
    engine = Engine()
    brief, longer = make_request(1, max_tokens=1), make_request(2, max_tokens=2)
    for request in (brief, longer):
        engine.add(request)
    told: list[NewTokens] = []
    engine.core.launch()
    output = engine.core.collect(told.append)
    assert output is not None and output.stats is not None
    ((delta,),) = [tokens.deltas for tokens in told]
    assert (delta.request_id, delta.finish_reason) == (2, None)
    assert [(delta.request_id, delta.finish_reason) for delta in output.deltas] == [(1, FinishReason.LENGTH)]
    assert told[0].made_s == output.stats.tokens_s
    engine.core.launch()
    last = engine.core.collect(told.append)
    assert last is not None and [delta.request_id for delta in last.deltas] == [2]
    assert len(told) == 1


def test_preemption_changes_neither_text_nor_limits_nor_ttft() -> None:
    engine = Engine(num_blocks=12, block_size=2, max_model_len=24, token_budget=64)
    requests = [make_request(i, num_prompt_tokens=6, max_tokens=12) for i in range(1, 5)]
    for request in requests:
        engine.add(request)
    finished: list[RequestStats] = []
    first_tokens: list[int] = []
    while engine.core.has_work:
        output = engine.core.step()
        assert output is not None and output.stats is not None
        finished.extend(output.finished)
        first_tokens.extend(first.request_id for first in output.stats.first_tokens)
        for delta in output.deltas:
            assert delta.token_id is not None
            engine.outputs[delta.request_id].append(delta.token_id)
    assert engine.outputs == {request.request_id: expected_output(request, 12) for request in requests}
    assert sum(stats.num_preemptions for stats in finished) > 0
    assert {(stats.num_prompt_tokens, stats.num_output_tokens) for stats in finished} == {(6, 12)}
    assert sorted(first_tokens) == [1, 2, 3, 4]


def test_a_context_that_fills_up_ends_with_length() -> None:
    engine = Engine(num_blocks=4, block_size=4, max_model_len=16)
    engine.add(make_request(num_prompt_tokens=10, max_tokens=None))
    engine.run()
    assert (len(engine.outputs[1]), engine.reasons[1]) == (6, FinishReason.LENGTH)


@pytest.mark.parametrize("num_prompt_tokens", [0, 16, 40])
def test_a_prompt_that_can_never_fit_is_refused_at_once(num_prompt_tokens: int) -> None:
    engine = Engine(num_blocks=4, block_size=4, max_model_len=16)
    with pytest.raises(RequestRefused) as refused:
        engine.add(make_request(num_prompt_tokens=num_prompt_tokens))
    assert refused.value.param == "prompt"
    assert not engine.core.has_work


def test_cancelling_frees_the_blocks_at_once_and_unknown_ids_are_ignored() -> None:
    engine = Engine()
    engine.add(make_request(num_prompt_tokens=30))
    engine.step()
    output = engine.core.cancel(1, FinishReason.CANCELLED)
    assert output is not None and output.deltas[0].finish_reason is FinishReason.CANCELLED
    assert output.finished[0].num_prompt_tokens == 30
    assert not engine.core.has_work
    assert engine.core.cancel(1, FinishReason.CANCELLED) is None
    assert engine.core.cancel(99, FinishReason.CANCELLED) is None


def test_a_request_cancelled_in_flight_ends_at_once_and_what_its_batches_give_is_dropped() -> None:
    engine = Engine(max_batches_in_flight=2, token_budget=4)
    engine.add(make_request(num_prompt_tokens=8))
    assert engine.core.launch() is not None and engine.core.launch() is not None
    cancelled = engine.core.cancel(1, FinishReason.STOP)
    assert cancelled is not None
    assert [(delta.token_id, delta.finish_reason) for delta in cancelled.deltas] == [(None, FinishReason.STOP)]
    assert cancelled.finished[0].scheduled_s == 0.0
    returned = [engine.core.collect(), engine.core.collect()]
    assert [output.deltas for output in returned if output is not None] == [(), ()]
    assert not engine.core.has_work


def test_chunks_of_a_prompt_follow_each_other_into_the_pipeline() -> None:
    engine = Engine(max_batches_in_flight=3, token_budget=4)
    engine.add(make_request(num_prompt_tokens=10, max_tokens=4))
    launched = [engine.core.launch() for _ in range(4)]
    assert [[(chunk.start, chunk.length) for chunk in one.chunks] for one in launched if one is not None] == [
        [(0, 4)],
        [(4, 4)],
        [(8, 2)],
    ]
    engine.run()
    assert engine.outputs[1] == expected_output(make_request(num_prompt_tokens=10), 4)


def test_who_is_preempted_in_flight_gets_its_token_and_starts_anew_behind_it() -> None:
    engine = Engine(max_batches_in_flight=2, num_blocks=6, block_size=2, max_model_len=10, token_budget=8)
    requests = [make_request(i, num_prompt_tokens=3, max_tokens=6) for i in (1, 2, 3)]
    for request in requests:
        engine.add(request)
    engine.run()
    in_flight = [
        set(batch.preempted) & {sequence.request_id for sequence in before.sequences}
        for before, batch in itertools.pairwise(engine.executor.batches)
    ]
    assert {3} in in_flight
    assert engine.outputs == {request.request_id: expected_output(request, 6) for request in requests}


def test_a_row_without_numbers_ends_that_request_alone() -> None:
    engine = Engine()
    for i in (1, 2):
        engine.add(make_request(i, max_tokens=3))
    engine.executor.rows_without_numbers = {1}
    engine.run()
    assert (engine.outputs[1], engine.reasons[1]) == ([], FinishReason.ERROR)
    assert (len(engine.outputs[2]), engine.reasons[2]) == (3, FinishReason.LENGTH)


def test_a_budget_change_is_in_force_from_the_iteration_it_names() -> None:
    engine = Engine(token_budget=4)
    engine.add(make_request(num_prompt_tokens=100))
    engine.step()
    applied = engine.core.change_settings(ChangeSettings(change_id=7, budget=32))
    assert (applied.old.token_budget, applied.new.token_budget, applied.new.revision) == (4, 32, 1)
    engine.step()
    first, second = engine.iterations
    assert (first.token_budget, first.num_prefill_tokens, first.revision) == (4, 4, 0)
    assert (second.token_budget, second.num_prefill_tokens, second.revision) == (32, 32, 1)
    assert second.sequence_number == applied.iteration


@pytest.mark.parametrize(
    "change",
    [
        ChangeSettings(change_id=1, budget=0),
        ChangeSettings(change_id=1, budget=5000),
        ChangeSettings(change_id=1, policy="fastest"),
        ChangeSettings(change_id=1, slo=SLO(tbt_s=-1.0)),
        ChangeSettings(change_id=1, budget=64, slo=SLO(ttft_s=float("inf"))),
    ],
)
def test_a_refused_change_changes_nothing(change: ChangeSettings) -> None:
    engine = Engine(token_budget=4)
    with pytest.raises(ControlRefused) as refused:
        engine.core.change_settings(change)
    assert refused.value.code == "out-of-range"
    applied = engine.core.change_settings(ChangeSettings(change_id=2))
    assert applied.old.revision == 0
    assert applied.new.token_budget == 4


def test_what_will_run_is_told_before_it_runs() -> None:
    engine = Engine(token_budget=8)
    engine.add(make_request(num_prompt_tokens=20))
    scheduled = engine.core.launch()
    assert scheduled is not None
    assert [(chunk.start, chunk.length, chunk.num_tokens) for chunk in scheduled.chunks] == [(0, 8, 20)]
    output = engine.core.collect()
    assert output is not None and output.stats is not None
    assert output.stats.chunks == scheduled.chunks
    assert output.stats.sequence_number == scheduled.sequence_number


def test_a_new_engine_goes_on_behind_the_tokens_already_sent() -> None:
    request = make_request(num_prompt_tokens=9, max_tokens=10)
    whole = expected_output(request, 10)
    engine = Engine(token_budget=5)
    engine.core.resume(1000, engine.core.change_settings(ChangeSettings(change_id=1, budget=5)).new)
    engine.add(make_request(num_prompt_tokens=9, max_tokens=10, output_token_ids=tuple(whole[:4])))
    engine.run()
    assert engine.outputs[1] == whole
    assert engine.iterations[0].sequence_number == 1000
    assert all(not stats.first_tokens for stats in engine.iterations)


def test_a_new_engine_predicts_from_what_the_last_one_learned() -> None:
    first, learned = Engine(), []
    first.add(make_request(num_prompt_tokens=40, max_tokens=50))
    while first.core.has_work:
        output = first.core.step()
        assert output is not None and output.learned is not None
        learned.append(output.learned)
    second = Engine()
    second.core.resume(1000, first.core.settings, learned)
    for engine in (first, second):
        engine.add(make_request(2, num_prompt_tokens=40, max_tokens=2))
    again, anew = first.step(), second.step()
    assert again is not None and anew is not None
    assert again.predicted_s is not None
    assert anew.predicted_s == pytest.approx(again.predicted_s)


def test_pipelined_batches_never_share_a_sequence_and_give_the_same_text() -> None:
    engine = Engine(max_batches_in_flight=3, token_budget=4, num_blocks=10, block_size=2, max_model_len=20)
    requests = [make_request(i, num_prompt_tokens=3 + i, max_tokens=8) for i in range(1, 7)]
    for request in requests:
        engine.add(request)
    engine.run()
    assert engine.outputs == {request.request_id: expected_output(request, 8) for request in requests}


def test_an_idle_engine_has_given_every_block_back() -> None:
    engine = Engine()
    for i in range(1, 9):
        engine.add(make_request(i, num_prompt_tokens=7 * i))
    engine.run()
    assert engine.iterations[-1].num_blocks_used == 0
    assert engine.core.step() is None


def test_blocks_are_counted_when_a_cancellation_leaves_nothing_to_do() -> None:
    engine = Engine()
    for i in (1, 2):
        engine.add(make_request(i, num_prompt_tokens=30))
    engine.step()
    kv_cache = engine.core._scheduler.kv_cache
    kv_cache.grow(kv_cache.new_table(), 1)  # of a table that nobody holds
    assert engine.core.cancel(1, FinishReason.CANCELLED) is not None
    with pytest.raises(AssertionError):
        engine.core.cancel(2, FinishReason.CANCELLED)


def test_an_iteration_tells_when_its_stage_worked() -> None:
    engine = Engine()
    engine.add(make_request(num_prompt_tokens=10, max_tokens=1))
    stats = engine.step()
    assert stats is not None
    assert [(stage.start_s, stage.busy_s, stage.bubble_s) for stage in stats.stages] == [(0.0, 0.02, 0.0)]


def test_time_with_nothing_to_do_is_not_idle_time_of_the_next_iteration() -> None:
    engine = Engine()
    engine.add(make_request(1, num_prompt_tokens=30))
    engine.step()
    engine.core.cancel(1, FinishReason.CANCELLED)
    engine.clock.advance(3600.0)
    engine.add(make_request(2))
    stats = engine.step()
    assert stats is not None
    assert stats.idle_s == 0.0


def test_no_end_is_drawn_before_the_least_number_of_tokens() -> None:
    engine = Engine()
    sampling = SamplingParams(max_tokens=3, temperature=0.0, min_tokens=2, stop_token_ids=(7,))
    engine.add(Request(request_id=1, prompt_token_ids=(5, 6), sampling=sampling))
    engine.run()
    drawn = [sequence.sampling for batch in engine.executor.batches for sequence in batch.sequences]
    assert [sorted(found.banned_token_ids) for found in drawn if found is not None] == [[EOS, 7], [EOS, 7], []]


def test_the_targets_of_a_prompts_chunks_are_its_tokens_but_the_first() -> None:
    engine = Engine(token_budget=4, prefix_cache=True)
    prompt = tuple(range(1, 11))
    for request_id in (1, 2):  # the second is computed whole, too
        sampling = SamplingParams(max_tokens=2, temperature=0.0, prompt_logprobs=3, ignore_eos=True)
        engine.add(Request(request_id=request_id, prompt_token_ids=prompt, sampling=sampling))
        engine.run()
    found = [chunk.prompt_targets for batch in engine.executor.batches for chunk in batch.chunks]
    targets = [token_id for target in found if target is not None for token_id in target.token_ids]
    assert targets == [*prompt[1:], *prompt[1:]]
    assert {target.num_top for target in found if target is not None} == {3}
