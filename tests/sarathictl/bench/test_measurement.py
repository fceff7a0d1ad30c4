"""Figures from traces that were written by hand."""

import pytest

from sarathictl.bench.measurement import Distribution, Phase, Setting, distribution, measure, parse_setting
from sarathictl.bench.trace import LoadTrace, RequestTrace, Role
from sarathid.errors import ConfigError
from sarathid.protocol.stats import ChunkStats
from tests.factories import make_iteration

SETTING = Setting("stall-free", 128)
OTHER = Setting("prefill-first")


def make_phase(setting: Setting = SETTING) -> Phase:
    """Return ten seconds from 100.0 with one stream that froze for two, and two prompts, one of them lost."""
    stream = RequestTrace(Role.STREAM, 0, 256, 98.0, [99.0, 101.0, 103.0, 103.5, 111.0])
    prompt = RequestTrace(Role.PROMPT, 0, 2000, 101.0, [103.0, 103.5])
    lost = RequestTrace(Role.PROMPT, 1, 2000, 108.0, failure="no room")
    iterations = (
        make_iteration(start_s=99.5, execute_s=0.4, num_decode_tokens=1),
        make_iteration(start_s=101.0, execute_s=2.0, num_decode_tokens=1, chunks=(ChunkStats(2, 0, 2000, 2000),)),
    )
    return Phase(setting, LoadTrace(100.0, 110.0, (stream, prompt, lost)), iterations, num_records_lost=0)


def test_only_what_came_while_figures_were_taken_counts() -> None:
    found = measure(SETTING, [make_phase()], target_s=1.0)

    assert found.tbt == Distribution(4, 2.0, 6.5, 6.5)  # the last token before the end came at 103.5
    assert found.ttft == Distribution(1, 2.0, 2.0, 2.0)
    assert found.num_stalls == 3
    assert found.stream_tokens_per_s == pytest.approx(0.3)
    assert found.tokens_per_s == pytest.approx(200.1)
    assert found.failures == ("prompt-1: no room",)


def test_phases_of_one_setting_are_taken_together() -> None:
    found = measure(SETTING, [make_phase(), make_phase(OTHER), make_phase()], target_s=None)

    assert (found.num_phases, found.duration_s, found.tbt.count) == (2, 20.0, 8)
    assert found.tokens_per_s == pytest.approx(200.1)
    assert found.num_stalls is None


@pytest.mark.parametrize(("is_finished", "failure"), [(True, None), (False, "the engine died")])
def test_a_request_that_ended_waits_for_nothing(is_finished: bool, failure: str | None) -> None:
    stream = RequestTrace(Role.STREAM, 0, 256, 98.0, [101.0, 102.0], is_finished=is_finished, failure=failure)

    assert list(stream.tbts_s(100.0, 110.0)) == [1.0]


def test_percentiles_are_by_nearest_rank() -> None:
    assert distribution(value / 100 for value in range(1, 101)) == Distribution(100, 0.50, 0.99, 1.0)
    assert distribution([3.0]) == Distribution(1, 3.0, 3.0, 3.0)
    assert distribution([]) == Distribution(0, None, None, None)


def test_a_setting_is_a_policy_with_or_without_a_budget() -> None:
    assert parse_setting("prefill-first") == OTHER
    assert parse_setting("stall-free:128") == SETTING
    assert [parse_setting(text).label for text in ("prefill-first", "stall-free:128")] == [
        "prefill-first",
        "stall-free:128",
    ]


@pytest.mark.parametrize("text", ["", ":128", "stall-free:", "stall-free:many", "stall-free:-1"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a policy"):
        parse_setting(text)
