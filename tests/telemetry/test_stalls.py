import pytest

from sarathid.protocol.stats import ChunkStats, StallCause, StallEvent, TokenGap
from sarathid.telemetry.stalls import StallFinder
from tests.factories import Engine, make_iteration, make_request

TARGET_S = 0.1
CHUNK = ChunkStats(request_id=31, start=0, length=2007, num_tokens=7211)


def test_a_gap_within_the_target_is_no_stall() -> None:
    finder = StallFinder(isolated_decode_s=0.03)
    assert finder.observe(make_iteration(gaps=(TokenGap(1, 0.1),)), TARGET_S) is None
    assert finder.observe(make_iteration(gaps=(TokenGap(1, 9.0),)), None) is None


def test_a_chunk_beside_the_decodes_is_named_as_the_cause() -> None:
    finder = StallFinder(isolated_decode_s=0.03)
    stall = finder.observe(
        make_iteration(7, execute_s=0.4, chunks=(CHUNK,), gaps=(TokenGap(1, 0.35), TokenGap(2, 0.4))), TARGET_S
    )
    assert stall is not None
    assert (stall.cause, stall.chunk, stall.chunk_iteration) == (StallCause.PREFILL, CHUNK, 7)
    assert [victim.request_id for victim in stall.victims] == [2, 1]
    assert stall.parts == pytest.approx({StallCause.PREFILL: 0.37, StallCause.DECODE: 0.03})


def test_iterations_without_the_victim_count_too() -> None:
    finder = StallFinder(isolated_decode_s=0.03)
    whole_prompt = make_iteration(5, start_s=0.0, execute_s=3.0, num_decode_tokens=0, chunks=(CHUNK,))
    assert finder.observe(whole_prompt, TARGET_S) is None
    stall = finder.observe(make_iteration(6, start_s=3.0, execute_s=0.03, gaps=(TokenGap(1, 3.03),)), TARGET_S)
    assert stall is not None
    assert (stall.cause, stall.chunk_iteration) == (StallCause.PREFILL, 5)
    assert stall.parts[StallCause.PREFILL] == pytest.approx(3.0)


def test_iterations_before_the_gap_do_not_count() -> None:
    finder = StallFinder(isolated_decode_s=0.15)
    finder.observe(make_iteration(1, start_s=0.0, execute_s=3.0, chunks=(CHUNK,)), TARGET_S)
    stall = finder.observe(make_iteration(2, start_s=3.0, execute_s=0.15, gaps=(TokenGap(1, 0.15),)), TARGET_S)
    assert stall is not None
    assert (stall.cause, stall.chunk) == (StallCause.DECODE, None)


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
    finder = StallFinder(isolated_decode_s=0.03)
    stall = finder.observe(make_iteration(gaps=(TokenGap(1, 0.33),), **where), TARGET_S)  # type: ignore[arg-type]
    assert stall is not None
    assert stall.cause is cause
    assert sum(stall.parts.values()) == pytest.approx(0.33)


def test_a_preempted_request_stalls_because_of_its_preemption() -> None:
    engine = Engine(num_blocks=6, block_size=2, max_model_len=12, token_budget=64, slo_tbt="20ms")
    for i in (1, 2):
        engine.add(make_request(i, num_prompt_tokens=5, max_tokens=6))
    stalls: list[StallEvent] = []
    while engine.core.has_work:
        output = engine.core.step()
        assert output is not None
        stalls.extend(output.stalls)
    assert [(stall.cause, stall.victims[0].request_id) for stall in stalls] == [(StallCause.PREEMPTION, 2)]
