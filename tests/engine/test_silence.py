import msgspec
import pytest

from sarathid.engine.silence import LEAST_LIMIT_S, UNPREDICTED_LIMIT_S, EngineSilence
from sarathid.protocol.stats import ChunkStats, IterationScheduled
from sarathid.protocol.step import EngineBeat, EngineWaits, StepOutput
from tests.factories import make_iteration


def scheduled(number: int, predicted_s: float | None) -> IterationScheduled:
    return IterationScheduled(
        sequence_number=number,
        start_s=0.0,
        token_budget=4096,
        num_decode_tokens=2,
        chunks=(ChunkStats(7, 0, 4096, 4096),),
        predicted_s=predicted_s,
    )


@pytest.mark.parametrize(("predicted_s", "limit_s"), [(0.01, LEAST_LIMIT_S), (4.0, 12.0), (None, UNPREDICTED_LIMIT_S)])
def test_an_iteration_may_take_three_times_its_prediction(predicted_s: float | None, limit_s: float) -> None:
    silence = EngineSilence()
    silence.heard(scheduled(3, predicted_s))
    silence.lasts(limit_s - 0.1)
    assert not silence.exceeds(1)
    silence.lasts(0.1)
    assert silence.exceeds(1)
    assert not silence.exceeds(2)


@pytest.mark.parametrize(
    ("num_prompt_tokens", "limit_s"), [(1, LEAST_LIMIT_S), (98, 15.0), (4096, UNPREDICTED_LIMIT_S)]
)
def test_without_a_prediction_no_token_takes_longer_than_an_iteration_of_decodes(
    num_prompt_tokens: int, limit_s: float
) -> None:
    silence = EngineSilence(isolated_decode_s=0.05)
    chunk = ChunkStats(7, 0, num_prompt_tokens, num_prompt_tokens)
    silence.heard(msgspec.structs.replace(scheduled(3, None), chunks=(chunk,)))
    assert silence.limit_s == pytest.approx(limit_s)


def test_an_idle_engine_may_not_leave_out_many_beats() -> None:
    silence = EngineSilence()
    silence.lasts(LEAST_LIMIT_S - 1.0)
    silence.heard(EngineBeat())
    silence.lasts(LEAST_LIMIT_S - 1.0)
    assert not silence.exceeds(1)
    silence.lasts(1.0)
    assert silence.exceeds(1)


def test_the_oldest_iteration_in_flight_decides_until_it_is_done() -> None:
    silence = EngineSilence()
    silence.heard(scheduled(3, 4.0))
    silence.heard(scheduled(4, 8.0))
    assert silence.limit_s == 12.0
    silence.heard(StepOutput(deltas=()))  # somebody was cancelled meanwhile
    assert silence.limit_s == 12.0
    silence.heard(StepOutput(deltas=(), stats=make_iteration(3)))
    assert silence.limit_s == 24.0
    silence.heard(StepOutput(deltas=(), stats=make_iteration(4)))
    assert silence.limit_s == LEAST_LIMIT_S


def test_a_hang_is_told_with_its_iteration() -> None:
    silence = EngineSilence()
    silence.heard(scheduled(3, 0.01))
    silence.lasts(5.25)
    assert str(silence) == "said nothing for 5.2 s in iteration 3 (2 decodes, prompts of requests 7)"


def test_whom_an_engine_waits_for_is_told_and_no_sign_of_life() -> None:
    silence = EngineSilence()
    silence.heard(scheduled(3, 0.01))
    silence.lasts(2.5)
    silence.heard(EngineWaits("rank 1 of tp=2 pp=1, silent"))
    silence.lasts(2.75)
    assert silence.exceeds(1)
    assert str(silence).endswith("(2 decodes, prompts of requests 7); it waits for rank 1 of tp=2 pp=1, silent")

    silence.heard(StepOutput(deltas=(), stats=make_iteration(3)))
    assert str(silence) == "said nothing for 0.0 s with nothing to compute"
