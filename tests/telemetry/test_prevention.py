import msgspec
import pytest

from sarathid.protocol.stats import ChunkStats, EngineInfo, IterationStats, StallEvent, TokenGap
from sarathid.telemetry.stalls import StallFinder
from tests.factories import Engine, make_iteration

TARGET_S = 0.1
CHUNK = ChunkStats(request_id=31, start=0, length=1000, num_tokens=4000)


def make_engine(tile: int = 1, least: int = 16) -> EngineInfo:
    return msgspec.structs.replace(Engine.info(), isolated_decode_s=0.03, tile=tile, min_token_budget=least)


def stall_of(*iterations: IterationStats, engine: EngineInfo | None = None) -> StallEvent:
    """Return the stall that ended with the last of some iterations."""
    finder = StallFinder()
    stalls = [finder.of_iteration(stats, stats.gaps, TARGET_S, engine or make_engine()) for stats in iterations]
    (stall,) = stalls[-1]
    return stall


def beside_decodes() -> IterationStats:
    """Return an iteration of 40 decodes that cost 20 ms, and 1,000 prefill tokens of 0.4 ms each."""
    return make_iteration(
        7,
        execute_s=0.42,
        num_decode_tokens=40,
        chunks=(CHUNK,),
        gaps=(TokenGap(1, 0.42),),
        predicted_s=0.42,
        predicted_decode_s=0.02,
    )


def test_the_budget_leaves_the_prefill_what_the_target_leaves_beside_the_decodes() -> None:
    assert stall_of(beside_decodes()).preventing_budget == pytest.approx(40 + 0.07 / 0.0004, abs=1)
    assert stall_of(beside_decodes(), engine=make_engine(tile=128)).preventing_budget == 128


def test_no_budget_helps_where_the_decodes_alone_are_late_or_no_prompt_ran() -> None:
    slow = msgspec.structs.replace(beside_decodes(), predicted_decode_s=0.15)
    assert stall_of(slow).preventing_budget is None
    stopped = msgspec.structs.replace(beside_decodes(), schedule_s=0.5, gaps=(TokenGap(1, 0.92),))
    assert stall_of(stopped).preventing_budget is None
    assert stall_of(beside_decodes(), engine=make_engine(least=512)).preventing_budget is None


def test_whole_prompts_ahead_of_the_decodes_are_priced_by_their_own_iteration() -> None:
    whole = make_iteration(
        5, execute_s=3.0, num_decode_tokens=0, chunks=(CHUNK,), predicted_s=3.0, predicted_decode_s=0.0
    )
    late = make_iteration(6, start_s=3.0, execute_s=0.03, gaps=(TokenGap(1, 3.03),))
    assert stall_of(whole, late).preventing_budget == pytest.approx(1 + 0.06 / 0.003, abs=1)
    unpriced = msgspec.structs.replace(whole, predicted_decode_s=None)
    assert stall_of(unpriced, late).preventing_budget is None


def test_a_chunk_that_nothing_predicted_is_priced_by_the_stall_that_ended_with_it() -> None:
    unpriced = msgspec.structs.replace(beside_decodes(), predicted_s=None, predicted_decode_s=None)
    assert stall_of(unpriced).preventing_budget == pytest.approx(40 + 0.06 / 0.00039, abs=1)
