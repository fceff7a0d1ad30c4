import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarathid.costmodel.forecast import PipelineForecast
from sarathid.costmodel.pipeline import Pipeline
from sarathid.protocol.stats import Blocker, ChunkStats, IterationStats, StageTime, StallCause, StallEvent, TokenGap
from sarathid.telemetry.delivery import Delivery
from sarathid.telemetry.pauses import Pauses
from sarathid.telemetry.span import Span
from sarathid.telemetry.stalls import StallFinder
from tests.factories import Engine, make_iteration, make_request

TARGET_S = 0.1
ENGINE = msgspec.structs.replace(Engine.info(), isolated_decode_s=0.03)
CHUNK = ChunkStats(request_id=31, start=0, length=2007, num_tokens=7211)


def observe(finder: StallFinder, *iterations: IterationStats, gaps: tuple[TokenGap, ...] = ()) -> list[StallEvent]:
    """Return the stalls that ended with the last of some iterations; of the gaps `gaps` were behind other engines."""
    stalls: tuple[StallEvent, ...] = ()
    for stats in iterations:
        stalls = finder.of_iteration(stats, (*stats.gaps, *gaps), TARGET_S, ENGINE)
    return list(stalls)


def seconds_of(stall: StallEvent) -> dict[StallCause, float]:
    """Return the parts of a stall that are not rounding, having seen that they add up to its gap."""
    assert sum(stall.parts.values()) == pytest.approx(stall.worst_gap_s)
    return {cause: round(seconds, 6) for cause, seconds in stall.parts.items() if seconds > 1e-6}


def test_a_gap_within_the_target_is_no_stall() -> None:
    finder = StallFinder()
    stats = make_iteration(gaps=(TokenGap(1, 0.1),))
    assert observe(finder, stats) == []
    assert finder.of_iteration(make_iteration(gaps=(TokenGap(1, 9.0),)), (TokenGap(1, 9.0),), None, ENGINE) == ()


def test_a_chunk_beside_the_decodes_is_named_as_the_cause() -> None:
    before = make_iteration(6, start_s=0.0, execute_s=0.03)
    stats = make_iteration(7, start_s=0.03, execute_s=0.4, chunks=(CHUNK,), gaps=(TokenGap(1, 0.35), TokenGap(2, 0.4)))
    (stall,) = observe(StallFinder(), before, stats)
    assert (stall.cause, stall.chunk, stall.chunk_iteration) == (StallCause.PREFILL, CHUNK, 7)
    assert [victim.request_id for victim in stall.victims] == [2, 1]
    assert seconds_of(stall) == {StallCause.PREFILL: 0.37, StallCause.DECODE: 0.03}


def test_iterations_without_the_victim_count_too() -> None:
    whole_prompt = make_iteration(5, start_s=0.0, execute_s=3.0, num_decode_tokens=0, chunks=(CHUNK,))
    after = make_iteration(6, start_s=3.0, execute_s=0.03, gaps=(TokenGap(1, 3.03),))
    (stall,) = observe(StallFinder(), whole_prompt, after)
    assert (stall.cause, stall.chunk_iteration) == (StallCause.PREFILL, 5)
    assert seconds_of(stall) == {StallCause.PREFILL: 3.0, StallCause.DECODE: 0.03}


def test_iterations_before_the_gap_do_not_count() -> None:
    before = make_iteration(1, start_s=0.0, execute_s=3.0, chunks=(CHUNK,))
    after = make_iteration(2, start_s=3.0, execute_s=0.15, gaps=(TokenGap(1, 0.15),), predicted_s=0.14)
    (stall,) = observe(StallFinder(), before, after)
    assert (stall.cause, stall.chunk) == (StallCause.DECODE, None)


def test_batches_that_overlap_in_a_pipeline_are_counted_once() -> None:
    first = make_iteration(1, start_s=0.0, execute_s=0.2, predicted_s=0.2)
    second = make_iteration(2, start_s=0.1, execute_s=0.3, chunks=(CHUNK,), predicted_s=0.3, predicted_decode_s=0.15)
    third = make_iteration(3, start_s=0.2, execute_s=0.25, gaps=(TokenGap(1, 0.25),), predicted_s=0.25)
    (stall,) = observe(StallFinder(), first, second, third)
    assert seconds_of(stall) == {StallCause.PREFILL: 0.15, StallCause.DECODE: 0.1}
    assert stall.chunk_iteration == 2


class PipelineRun:
    """Batches through the stages of a pipeline, each submitted at the moment that is given, with their records."""

    def __init__(self, num_stages: int) -> None:
        self.iterations: list[IterationStats] = []
        self._pipeline = Pipeline(num_stages)
        self._forecast = PipelineForecast(num_stages)

    def submit(self, now_s: float, decode_s: float, chunk_s: float = 0.0, last_token_s: float | None = None) -> float:
        """Run a batch that costs each stage so much; return when its tokens come, to those who had one before."""
        num_stages = self._pipeline.num_stages
        works = self._pipeline.run(now_s, (decode_s + chunk_s,) * num_stages)
        predicted_s = self._forecast.launch(now_s, num_stages * (decode_s + chunk_s))
        tokens_s = works[-1].end_s
        stats = make_iteration(
            len(self.iterations),
            start_s=now_s,
            execute_s=tokens_s - now_s,
            chunks=(CHUNK,) if chunk_s else (),
            gaps=() if last_token_s is None else (TokenGap(1, tokens_s - last_token_s),),
            predicted_s=predicted_s,
            predicted_decode_s=predicted_s - num_stages * chunk_s,
            stages=tuple(StageTime(work.start_s, work.busy_s, 0.0) for work in works),
        )
        self.iterations.append(stats)
        return tokens_s


def test_batches_of_a_pipeline_that_are_even_wait_for_nothing() -> None:
    run = PipelineRun(num_stages=2)
    first_s, _ = run.submit(0.0, 0.1), run.submit(0.0, 0.1)
    run.submit(first_s, 0.1, last_token_s=first_s)
    (stall,) = observe(StallFinder(), *run.iterations)
    assert seconds_of(stall) == {StallCause.DECODE: 0.2}


def test_a_request_alone_in_a_pipeline_waits_for_nobody() -> None:
    run = PipelineRun(num_stages=4)
    first_s = run.submit(0.0, 0.1)
    run.submit(first_s, 0.1, last_token_s=first_s)
    (stall,) = observe(StallFinder(), *run.iterations)
    assert seconds_of(stall) == {StallCause.DECODE: 0.4}


def test_what_uneven_batches_wait_for_each_other_is_the_pipelines_bubble() -> None:
    run = PipelineRun(num_stages=2)
    small_s, large_s = run.submit(0.0, 0.1), run.submit(0.0, 0.3)
    again_s = run.submit(small_s, 0.1)
    run.submit(large_s, 0.3)
    run.submit(again_s, 0.1, last_token_s=again_s)
    (stall,) = observe(StallFinder(), *run.iterations)
    assert seconds_of(stall) == {StallCause.DECODE: 0.4, StallCause.BUBBLE: 0.2}


def test_a_large_batch_in_a_long_pipeline_makes_small_ones_wait_for_idle_stages() -> None:
    run = PipelineRun(num_stages=4)
    small_s, _ = run.submit(0.0, 0.01), run.submit(0.0, 0.3)
    run.submit(small_s, 0.01, last_token_s=small_s)
    (stall,) = observe(StallFinder(), *run.iterations)
    assert stall.cause is StallCause.BUBBLE
    assert seconds_of(stall) == {StallCause.DECODE: 0.31, StallCause.BUBBLE: pytest.approx(0.87)}


def test_a_chunk_is_to_blame_for_what_it_takes_of_every_stage() -> None:
    run = PipelineRun(num_stages=2)
    run.submit(0.0, 0.1, chunk_s=0.3)
    run.submit(0.0, 0.1, last_token_s=0.0)
    (stall,) = observe(StallFinder(), *run.iterations)
    assert (stall.cause, stall.chunk) == (StallCause.PREFILL, CHUNK)
    assert seconds_of(stall) == {StallCause.PREFILL: 0.6, StallCause.DECODE: 0.2, StallCause.BUBBLE: 0.1}


@given(
    num_stages=st.integers(1, 5),
    costs=st.lists(st.tuples(st.floats(1e-3, 1.0), st.sampled_from((0.0, 0.05, 2.0))), min_size=3, max_size=12),
)
def test_the_parts_of_a_gap_in_any_pipeline_add_up(num_stages: int, costs: list[tuple[float, float]]) -> None:
    run = PipelineRun(num_stages)
    tokens_s = [0.0] * num_stages  # at first as many batches as there are stages, then one whenever one is done
    for decode_s, chunk_s in costs:
        last_token_s = tokens_s[-num_stages]
        tokens_s.append(run.submit(last_token_s, decode_s, chunk_s, last_token_s))
    finder = StallFinder()
    for stall in (stall for stats in run.iterations for stall in observe(finder, stats)):
        assert min(stall.parts.values()) > 0.0
        assert num_stages > 1 or StallCause.BUBBLE not in seconds_of(stall)


@pytest.mark.parametrize(
    ("where", "cause"),
    [
        ({"execute_s": 0.33, "gc_s": 0.3}, StallCause.GARBAGE_COLLECTION),
        ({"execute_s": 0.03, "idle_s": 0.3, "gc_s": 0.3}, StallCause.GARBAGE_COLLECTION),
        ({"execute_s": 0.03, "schedule_s": 0.3}, StallCause.OVERHEAD),
        ({"execute_s": 0.03, "idle_s": 0.3}, StallCause.OVERHEAD),
        ({"execute_s": 0.33}, StallCause.UNEXPLAINED),
        ({"execute_s": 0.33, "chunks": (CHUNK,), "predicted_s": 0.05}, StallCause.UNEXPLAINED),
    ],
)
def test_the_largest_part_is_the_cause_and_all_parts_add_up(where: dict[str, float], cause: StallCause) -> None:
    stats = make_iteration(start_s=1.0, gaps=(TokenGap(1, 0.33),), **where)  # type: ignore[arg-type]
    (stall,) = observe(StallFinder(), stats)
    assert stall.cause is cause
    assert seconds_of(stall)[cause] == pytest.approx(0.3, abs=0.03)


def test_what_the_engine_was_stopped_for_is_no_cost_of_its_batch() -> None:
    finder = StallFinder()
    finder.engine_pauses.add(Span(0.02, 0.32))
    stats = make_iteration(execute_s=0.45, chunks=(CHUNK,), gaps=(TokenGap(1, 0.45),), predicted_s=0.15)
    (stall,) = observe(finder, stats)
    assert seconds_of(stall) == {StallCause.ENGINE_PAUSE: 0.3, StallCause.DECODE: 0.03, StallCause.PREFILL: 0.12}


def test_the_restart_and_the_stop_before_it_are_told_apart() -> None:
    finder = StallFinder()
    observe(finder, make_iteration(4, start_s=0.0, execute_s=0.03))
    finder.engine_pauses.begin(1.03)
    finder.lose_engine()
    finder.engine_pauses.end(6.03)
    again = make_iteration(5, start_s=9.0, execute_s=0.03, num_decode_tokens=0, chunks=(CHUNK,))
    (stall,) = observe(finder, again, gaps=(TokenGap(1, 9.0),))
    assert seconds_of(stall) == {StallCause.ENGINE_PAUSE: 5.0, StallCause.RESTART: 4.0}


def test_requests_that_waited_for_different_reasons_are_told_of_apart() -> None:
    finder = StallFinder()
    observe(
        finder,
        make_iteration(1, start_s=0.0, execute_s=0.03),
        make_iteration(2, start_s=0.03, execute_s=0.03, preempted=(9,)),
        make_iteration(3, start_s=0.06, execute_s=0.03),
    )
    last = make_iteration(
        4, start_s=0.09, execute_s=0.2, chunks=(CHUNK,), gaps=(TokenGap(1, 0.2), TokenGap(9, 0.26), TokenGap(2, 0.2))
    )
    preempted, *others = observe(finder, last)
    assert (preempted.cause, preempted.victims) == (StallCause.PREEMPTION, (TokenGap(9, 0.26),))
    assert [(stall.cause, stall.victims) for stall in others] == [
        (StallCause.PREFILL, (TokenGap(1, 0.2), TokenGap(2, 0.2)))
    ]


def test_what_is_not_remembered_is_unexplained() -> None:
    (stall,) = observe(StallFinder(), make_iteration(7, start_s=5.0, execute_s=0.03, gaps=(TokenGap(1, 5.03),)))
    assert seconds_of(stall) == {StallCause.UNEXPLAINED: 5.0, StallCause.DECODE: 0.03}


def test_a_preempted_request_waits_for_blocks_until_it_is_computed_again() -> None:
    redone = ChunkStats(request_id=9, start=0, length=812, num_tokens=812)
    (stall,) = observe(
        StallFinder(),
        make_iteration(1, start_s=0.0, execute_s=0.03),
        make_iteration(2, start_s=0.03, execute_s=0.03, preempted=(9,), blocked_by=Blocker.PREEMPTION),
        make_iteration(3, start_s=0.06, execute_s=0.2, blocked_by=Blocker.BLOCKS, predicted_s=0.2),
        make_iteration(4, start_s=0.26, execute_s=0.04, blocked_by=Blocker.BUDGET, predicted_s=0.04),
        make_iteration(5, start_s=0.30, execute_s=0.1, chunks=(redone,), gaps=(TokenGap(9, 0.37),), predicted_s=0.1),
    )
    assert stall.cause is StallCause.KV_WAIT
    assert seconds_of(stall) == {StallCause.KV_WAIT: 0.23, StallCause.PREEMPTION: 0.14}


def test_who_loses_its_blocks_again_waits_for_them_again() -> None:
    redone = ChunkStats(request_id=9, start=0, length=812, num_tokens=900)
    rest = ChunkStats(request_id=9, start=0, length=900, num_tokens=900)
    (stall,) = observe(
        StallFinder(),
        make_iteration(1, start_s=0.0, execute_s=0.03),
        make_iteration(2, start_s=0.03, execute_s=0.03, preempted=(9,), blocked_by=Blocker.BLOCKS),
        make_iteration(3, start_s=0.06, execute_s=0.05, chunks=(redone,), predicted_s=0.05),
        make_iteration(4, start_s=0.11, execute_s=0.03, preempted=(9,), blocked_by=Blocker.BLOCKS),
        make_iteration(5, start_s=0.14, execute_s=0.06, chunks=(rest,), gaps=(TokenGap(9, 0.17),), predicted_s=0.06),
    )
    assert seconds_of(stall) == {StallCause.PREEMPTION: 0.11, StallCause.KV_WAIT: 0.06}


def test_a_request_that_an_engine_preempts_stalls_for_lack_of_blocks() -> None:
    engine = Engine(num_blocks=6, block_size=2, max_model_len=12, token_budget=64, slo_tbt="20ms")
    for i in (1, 2):
        engine.add(make_request(i, num_prompt_tokens=5, max_tokens=6))
    engine.run()
    finder = StallFinder()
    info = engine.info()
    (stall,) = [stall for stats in engine.iterations for stall in finder.of_iteration(stats, stats.gaps, 0.02, info)]
    assert (stall.cause, stall.victims[0].request_id) == (StallCause.KV_WAIT, 2)
    assert seconds_of(stall).keys() == {StallCause.KV_WAIT, StallCause.PREEMPTION}


def deliver(
    finder: StallFinder, *, written_s: float, generated_s: float = 0.06, unread: tuple[Span, ...] = ()
) -> StallEvent | None:
    """Deliver request 1 a token that was awaited from 0.03 s on; in the spans `unread` its client did not read."""
    pauses = Pauses()
    for span in unread:
        pauses.add(span)
    return finder.of_delivery(Delivery(1, 0.03, generated_s, generated_s - 0.03, written_s, pauses), TARGET_S, ENGINE)


def served() -> StallFinder:
    """Return what observed two iterations, with tokens at 0.03 and 0.06 s."""
    finder = StallFinder()
    observe(finder, *(make_iteration(i, start_s=0.03 * i, execute_s=0.03) for i in (0, 1)))
    return finder


def test_a_gap_is_the_engines_up_to_the_token_and_its_ways_from_there_on() -> None:
    assert deliver(served(), written_s=0.12) is None
    stall = deliver(served(), written_s=0.56, unread=(Span(0.04, 0.05), Span(0.4, 0.5)))
    assert stall is not None
    assert (stall.is_delivery, stall.iteration, stall.victims) == (True, 1, (TokenGap(1, stall.worst_gap_s),))
    assert seconds_of(stall) == {StallCause.EVENT_LOOP: 0.4, StallCause.SLOW_READER: 0.1, StallCause.DECODE: 0.03}


def test_a_token_that_was_there_before_its_client_had_the_last_one_is_not_the_engines() -> None:
    finder = served()
    stall = finder.of_delivery(Delivery(1, 5.0, 0.06, 0.03, 7.0, Pauses()), TARGET_S, ENGINE)
    assert stall is not None
    assert seconds_of(stall) == {StallCause.EVENT_LOOP: 2.0}


@pytest.mark.parametrize(("who", "cause"), [("engine", StallCause.ENGINE_PAUSE), ("daemon", StallCause.DAEMON_PAUSE)])
def test_who_was_stopped_is_why_a_token_was_passed_on_late(who: str, cause: StallCause) -> None:
    finder = served()
    pauses = finder.engine_pauses if who == "engine" else finder.daemon_pauses
    pauses.add(Span(0.05, 0.4))
    stall = deliver(finder, written_s=0.41)
    assert stall is not None
    assert stall.cause is cause
    assert seconds_of(stall)[cause] == pytest.approx(0.35 if who == "engine" else 0.34)


def test_a_gap_that_was_told_of_when_its_token_was_made_is_not_told_again() -> None:
    finder = served()
    assert deliver(finder, generated_s=0.33, written_s=0.35) is None
    again = deliver(finder, generated_s=0.33, written_s=0.83)
    assert again is not None
    assert again.cause is StallCause.EVENT_LOOP
    assert again.worst_gap_s == pytest.approx(0.8)
