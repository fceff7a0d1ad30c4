import msgspec
import pytest

from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import ChunkStats
from sarathid.telemetry.service_rates import service_rates
from tests.factories import make_iteration
from tests.telemetry.test_board import make_ended

CHUNK = (ChunkStats(3, 0, 100, 400),)


def test_prompts_are_timed_while_they_run_and_ends_all_the_time() -> None:
    iterations = [
        make_iteration(0, start_s=10.0, execute_s=0.2, chunks=CHUNK),
        make_iteration(1, start_s=90.0, execute_s=0.15, idle_s=0.05, chunks=CHUNK),
        make_iteration(2, start_s=91.0, execute_s=5.0),
    ]
    ended = [msgspec.structs.replace(make_ended(FinishReason.STOP), finished_s=at_s) for at_s in (20.0, 92.0, 95.0)]
    never_ran = msgspec.structs.replace(ended[2], scheduled_s=None)
    rates = service_rates(iterations, [*ended, never_ran], 0.03, now_s=100.0, window_s=30.0)

    assert rates.prefill_tokens_per_s == pytest.approx(100 / 0.2)
    assert rates.ends_per_s == pytest.approx(2 / 10.0)  # it has worked for 10 s of the 30


def test_where_nothing_ran_there_is_no_rate() -> None:
    rates = service_rates([], [], None, now_s=100.0, window_s=30.0)
    assert (rates.prefill_tokens_per_s, rates.ends_per_s, rates.tbt_s) == (None, 0.0, None)
