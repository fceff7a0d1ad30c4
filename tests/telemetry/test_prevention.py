import msgspec
import pytest

from sarathid.protocol.stats import ChunkStats, IterationStats, StallCause, StallEvent, TokenGap
from sarathid.telemetry.prevention import preventing_budget
from sarathid.telemetry.stalls import StallFinder
from tests.factories import make_iteration

TARGET_S = 0.1
CHUNK = ChunkStats(request_id=31, start=0, length=1000, num_tokens=4000)


def stall_of(*iterations: IterationStats) -> StallEvent:
    finder = StallFinder()
    stalls = [finder.of_iteration(stats, stats.gaps, TARGET_S, 0.03) for stats in iterations]
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
    culprit = beside_decodes()
    budget = preventing_budget(stall_of(culprit), culprit, tile=1, least=16)
    assert budget == pytest.approx(40 + 0.07 / 0.0004, abs=1)
    assert preventing_budget(stall_of(culprit), culprit, tile=128, least=16) == 128


def test_no_budget_helps_where_the_decodes_alone_are_late_or_no_prompt_ran() -> None:
    slow = msgspec.structs.replace(beside_decodes(), predicted_decode_s=0.15)
    assert preventing_budget(stall_of(slow), slow, tile=1, least=16) is None
    culprit = beside_decodes()
    other = msgspec.structs.replace(stall_of(culprit), cause=StallCause.OVERHEAD)
    assert preventing_budget(other, culprit, tile=1, least=16) is None
    assert preventing_budget(stall_of(culprit), culprit, tile=1, least=512) is None


def test_whole_prompts_ahead_of_the_decodes_are_priced_by_their_own_iteration() -> None:
    whole = make_iteration(
        5, execute_s=3.0, num_decode_tokens=0, chunks=(CHUNK,), predicted_s=3.0, predicted_decode_s=0.0
    )
    stall = stall_of(whole, make_iteration(6, start_s=3.0, execute_s=0.03, gaps=(TokenGap(1, 3.03),)))
    assert preventing_budget(stall, whole, tile=1, least=16) == pytest.approx(1 + 0.06 / 0.003, abs=1)
    unpriced = msgspec.structs.replace(whole, predicted_decode_s=None)
    assert preventing_budget(stall, unpriced, tile=1, least=16) is None
