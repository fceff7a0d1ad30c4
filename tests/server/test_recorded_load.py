"""A recording replayed as it was gives what was observed, without a daemon."""

import asyncio

import msgspec
import pytest

from sarathid.errors import ConfigError
from sarathid.protocol.stats import RequestArrival
from sarathid.server.recorded_load import read_load
from sarathid.server.rehearsal import replay
from sarathid.server.simulation_child import simulate_window
from sarathid.simulator.serving import Serving
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.segment import OpenSegment
from sarathid.tape.tape import Tape, TapeHeader
from sarathid.workload_catalog import load_requests
from tests.factories import Engine, make_iteration
from tests.server.recorded_run import SETTINGS
from tests.simulator.recorded import PROFILE, recorded

UNTIL_S = 60.0


@pytest.fixture(scope="module")
def tape() -> Tape:
    requests = load_requests("sharegpt4", num_requests=60, seed=5).at_rate(0.8).requests
    return recorded(requests, Serving(token_budget=512, slo_tbt_s=0.2, correction=1.3), UNTIL_S)


def test_a_replay_as_it_was_gives_what_was_observed_and_other_settings_something_else(tape: Tape) -> None:
    found = read_load(tape, None)
    scenario = found.scenario
    small = msgspec.structs.replace(scenario.span.current, token_budget=128)
    planned = asyncio.run(replay(scenario, [small], simulate_window))

    assert (planned.profile, planned.current.budget) == (PROFILE, 512)
    assert planned.correction == pytest.approx(1.3, rel=0.001)
    assert planned.num_guessed > 0
    for name in ("tbt_p50_s", "tbt_p99_s", "ttft_p50_s", "tokens_per_s"):
        assert getattr(planned.replayed, name) == pytest.approx(getattr(planned.observed, name), rel=0.05), name
    observed, expected = planned.observed.tbt_p99_s, planned.forecasts[0].figures.tbt_p99_s
    assert observed is not None and expected is not None
    assert expected < 0.7 * observed


def test_what_ran_before_a_recording_began_is_replayed_from_then_on(tape: Tape) -> None:
    later = tape.since(30.0)
    scenario = read_load(later, None).scenario

    assert scenario.start_s == later.start_s
    first = next(iter(later.segments()))
    arrived = [record for record in first.records if isinstance(record, RequestArrival)]
    num_waiting = sum(arrival.arrival_s <= later.start_s for arrival in arrived)
    at_once = [request for request in scenario.requests if request.arrival_s <= 0.0]
    assert len(at_once) == len(first.key.requests) + num_waiting > 0


def with_key(key: KeyFrame) -> Tape:
    segment = OpenSegment(key)
    segment.add(make_iteration(start_s=1.0))
    return Tape(TapeHeader.now(0.0), [segment.seal()])


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (KeyFrame(time_s=0.0), "does not say which engine"),
        (KeyFrame(time_s=0.0, info=Engine.info(), settings=SETTINGS), "names no cost profile"),
        (
            KeyFrame(time_s=0.0, info=msgspec.structs.replace(Engine.info(), cost_profile=PROFILE), settings=SETTINGS),
            "no request got a token",
        ),
    ],
)
def test_what_cannot_be_replayed_is_refused(key: KeyFrame, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_load(with_key(key), None)
