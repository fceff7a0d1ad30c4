"""A span that is replayed as it was gives what was observed, from its middle and through changes of the settings."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from sarathid.commands import simulate
from sarathid.protocol.changes import Figures
from sarathid.protocol.slo import BudgetMode
from sarathid.server.scenario import Scenario, in_force
from sarathid.simulator.timed_change import parse_timed_change
from sarathid.telemetry.past_requests import PastRequest
from sarathid.workload import PlannedRequest
from sarathid.workload_catalog import load_requests
from tests.factories import Engine
from tests.server.recorded_run import PROFILE, SETTINGS, record_run

UNTIL_S = 60.0
ENGINE = msgspec.structs.replace(
    Engine.info(),
    max_model_len=8192,
    max_num_seqs=128,
    num_blocks=20_000,
    num_watermark_blocks=200,
    block_size=16,
    max_token_budget=8192,
)


def chats() -> tuple[PlannedRequest, ...]:
    return load_requests("sharegpt4", num_requests=60, seed=5).at_rate(0.8).requests


def make_scenario(last_s: float, *changes: str, correction: float = 1.0, in_flight: bool = True) -> Scenario:
    requests = chats()
    load = record_run(requests, UNTIL_S, [parse_timed_change(text) for text in changes], correction)
    span = load.span(last_s, UNTIL_S)
    assert span is not None
    ended = {request.arrival_s for request in span.ended}
    unfinished = [found for found in requests if found.arrival_s < UNTIL_S and found.arrival_s not in ended]
    return Scenario.of(PROFILE, ENGINE, span, [in_flight_of(found) for found in unfinished] if in_flight else [])


def in_flight_of(request: PlannedRequest) -> PastRequest:
    return PastRequest.unfinished(
        arrival_s=request.arrival_s,
        ttft_s=None,
        num_prompt_tokens=request.num_prompt_tokens,
        num_cached_tokens=0,
        max_tokens=request.num_output_tokens,
        max_model_len=ENGINE.max_model_len,
    )


def replayed(arguments: tuple[str, ...]) -> Figures:
    result = CliRunner().invoke(simulate.app, arguments[1:], catch_exceptions=False)
    return msgspec.convert(json.loads(result.stdout)["window"], Figures)


def assert_alike(one: Figures, other: Figures, tolerance: float) -> None:
    for name in ("tbt_p50_s", "tbt_p99_s", "ttft_p50_s", "ttft_p99_s", "tokens_per_s"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=tolerance), name


@pytest.mark.parametrize(
    ("last_s", "changes"), [(60.0, ()), (60.0, ("20s:budget=1024", "40s:budget=256")), (30.0, ("20s:budget=1024",))]
)
def test_a_replay_as_it_was_gives_what_was_observed(last_s: float, changes: tuple[str, ...], tmp_path: Path) -> None:
    scenario = make_scenario(last_s, *changes)
    scenario.write(tmp_path)

    # What is left is the lead-in: those in flight when it begins start anew.
    assert_alike(replayed(scenario.as_it_was(tmp_path)), scenario.span.observed, 0.02 if last_s == UNTIL_S else 0.1)


def test_the_correction_is_what_the_device_was_seen_to_take(tmp_path: Path) -> None:
    scenario = make_scenario(60.0, correction=1.3)
    scenario.write(tmp_path)

    assert scenario.correction == pytest.approx(1.3, rel=0.001)
    assert_alike(replayed(scenario.as_it_was(tmp_path)), scenario.span.observed, 0.02)


def test_another_budget_is_replayed_with_the_same_requests(tmp_path: Path) -> None:
    scenario = make_scenario(60.0)
    scenario.write(tmp_path)
    small = replayed(scenario.under(msgspec.structs.replace(SETTINGS, token_budget=128), tmp_path))
    large = replayed(scenario.under(msgspec.structs.replace(SETTINGS, token_budget=4096), tmp_path))

    assert small.tbt_p99_s is not None and large.tbt_p99_s is not None
    assert small.tbt_p99_s < 0.5 * large.tbt_p99_s
    assert small.num_stalls == 0 and large.num_stalls


def test_what_runs_when_a_span_begins_is_led_in_to(tmp_path: Path) -> None:
    scenario = make_scenario(20.0)

    assert scenario.start_s < scenario.span.start_s == 40.0
    assert scenario.num_guessed > 0
    assert all(request.arrival_s >= 0.0 for request in scenario.requests)
    assert any(f"{scenario.span.start_s - scenario.start_s}s:" in word for word in scenario.as_it_was(tmp_path))


def test_who_waited_longer_than_is_led_in_to_has_waited_since_he_came(tmp_path: Path) -> None:
    """A queue that is longer than the lead: what its requests waited before the replay began counts all the same."""
    load = record_run([PlannedRequest(0.1 * number, 4_000, 2) for number in range(1_200)], 500.0)
    span = load.span(200.0, 500.0)
    assert span is not None
    scenario = Scenario.of(PROFILE, ENGINE, span, [])
    scenario.write(tmp_path)

    assert min(request.arrival_s for request in scenario.requests) < 0.0
    assert_alike(replayed(scenario.as_it_was(tmp_path)), scenario.span.observed, 0.02)


def test_the_stages_of_a_pipeline_tell_the_correction(tmp_path: Path) -> None:
    load = record_run(chats(), UNTIL_S, correction=1.3, profile="a100/falcon-180b-tp4-pp2")
    span = load.span(60.0, UNTIL_S)
    assert span is not None

    assert Scenario.of(PROFILE, ENGINE, span, []).correction == pytest.approx(1.3, rel=0.001)


def test_a_profiled_budget_in_force_is_replayed_as_the_number_it_came_to() -> None:
    profiled = msgspec.structs.replace(SETTINGS, budget_mode=BudgetMode.PROFILED)

    assert in_force(profiled).budget == 512
    assert in_force(SETTINGS) == SETTINGS
