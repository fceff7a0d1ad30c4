"""`sarathid simulate --tape` says how well it predicts before it predicts, and records the run under other settings."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from sarathid.commands import simulate
from sarathid.errors import ConfigError
from sarathid.protocol.plan import Planned
from sarathid.protocol.stats import IterationStats
from sarathid.simulator.serving import Serving
from sarathid.tape.tape import Tape
from sarathid.workload import PlannedRequest
from tests.simulator.recorded import WALL_START_S, recorded


@pytest.fixture
def file(tmp_path: Path) -> Path:
    requests = [PlannedRequest(0.0, 600, 60), PlannedRequest(0.4, 3000, 20), PlannedRequest(1.5, 40, 30)]
    path = tmp_path / "run.srec"
    path.write_bytes(recorded(requests, Serving(token_budget=1024, slo_tbt_s=0.1), 60.0).to_bytes())
    return path


def simulated(*options: str) -> str:
    return CliRunner().invoke(simulate.app, options, catch_exceptions=False).stdout


def test_the_run_under_other_settings_is_recorded_from_the_same_moment_on(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "what-if.srec"
    printed = simulated("--tape", str(file), "--budget", "256", "--slo-ttft", "2s", "--json", "--record", str(out))
    planned = msgspec.convert(json.loads(printed), Planned)

    assert planned.replayed.tbt_p50_s == pytest.approx(planned.observed.tbt_p50_s, rel=0.02)
    assert [(found.settings.budget, found.settings.slo.ttft_s) for found in planned.forecasts] == [(256, 2.0)]
    other = Tape.read(out)
    assert other.header.wall_offset_s == WALL_START_S
    budgets = {
        record.token_budget
        for segment in other.segments()
        for record in segment.records
        if isinstance(record, IterationStats)
    }
    assert budgets == {256}


def test_what_was_observed_and_its_replay_stand_side_by_side(file: Path) -> None:
    lines = simulated("--tape", str(file)).splitlines()

    assert lines[0].startswith("3 s of 3 requests, on the cost profile a100/yi-34b-tp2")
    assert [line[:18] for line in lines[2:]] == ["as it was observed", "as it is replayed "]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--budget", "many"), "not understood"),
        (("--budget", "9999999"), "outside 1 to"),
        (("--policy", "none"), "no policy"),
        (("--profile", "none"), "no profile"),
    ],
)
def test_what_the_engine_could_not_have_taken_is_refused(file: Path, options: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        simulated("--tape", str(file), *options)


def test_without_a_tape_a_workload_and_a_profile_are_needed() -> None:
    with pytest.raises(ConfigError, match="--tape"):
        simulated("--budget", "256")
