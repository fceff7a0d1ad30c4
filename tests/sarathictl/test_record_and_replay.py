"""`record` and `replay` as commands: what they save, what they say, and what would have been."""

import json
from pathlib import Path
from typing import Any

import pytest

from sarathid.protocol.control import GetRecording, GetSnapshot, RecordingPart
from sarathid.protocol.stats import IterationStats
from sarathid.simulator.serving import Serving
from sarathid.tape.tape import Tape
from sarathid.workload import PlannedRequest
from tests.sarathictl.paper_tape import make_tape
from tests.sarathictl.records import START_S, PaperEngine, make_snapshot
from tests.sarathictl.stub_daemon import StubDaemon
from tests.simulator.recorded import recorded


@pytest.fixture
def file(tmp_path: Path) -> Path:
    requests = [PlannedRequest(0.0, 600, 60), PlannedRequest(0.4, 3000, 20), PlannedRequest(1.5, 40, 30)]
    path = tmp_path / "run.srec"
    path.write_bytes(recorded(requests, Serving(token_budget=1024, slo_tbt_s=0.1), 60.0).to_bytes())
    return path


def test_record_saves_what_the_daemon_recorded(sarathictl: Any, tmp_path: Path) -> None:
    tape = make_tape()
    part = RecordingPart(frames=tape.to_bytes(), since_s=START_S)
    with StubDaemon(tmp_path, {GetRecording: lambda _: part}):
        outcome = sarathictl("record", "--last", "10m", "--out", str(tmp_path / "out.srec"))

    assert outcome.code == 0
    assert outcome.out == f"{tmp_path}/out.srec: {outcome.out.split(': ')[1]}"
    assert " KiB\n" in outcome.out
    assert len(Tape.read(tmp_path / "out.srec").frames) == len(tape.frames)


def test_record_saves_from_now_on_for_as_long_as_is_wanted(sarathictl: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.srec"
    records = PaperEngine().run(START_S + 1.0)
    iterations = tuple(record for record in records if isinstance(record, IterationStats))
    with StubDaemon(tmp_path, {GetSnapshot: lambda _: make_snapshot(iterations=iterations)}):
        outcome = sarathictl("record", "--for", "1s", "--out", str(out), "--json")
    assert (outcome.code, outcome.json["file"]) == (0, str(out))
    assert out.stat().st_size == outcome.json["num_bytes"]


def test_a_recording_of_nothing_says_so(sarathictl: Any, tmp_path: Path) -> None:
    with StubDaemon(tmp_path, {GetSnapshot: lambda _: make_snapshot()}):
        outcome = sarathictl("record", "--for", "1ms", "--out", str(tmp_path / "out.srec"))
    assert outcome.code == 2
    assert "is a recording in which nothing happened" in outcome.err


def test_record_makes_a_new_file_and_either_was_or_will_be(sarathictl: Any, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    with StubDaemon(tmp_path, {GetSnapshot: lambda _: make_snapshot()}):
        assert sarathictl("record", "--for", "1ms", "--out", str(tmp_path / "there")).code == 2
        assert sarathictl("record", "--for", "1s", "--last", "1s", "--out", str(tmp_path / "new")).code == 2
    assert (tmp_path / "there").read_text() == "mine"


def test_a_replay_says_first_how_well_it_predicts_what_did_happen(sarathictl: Any, file: Path) -> None:
    outcome = sarathictl("replay", str(file), "--budget", "256", "--slo", "tbt=50ms")
    lines = outcome.out.splitlines()

    assert outcome.code == 0, outcome.err
    assert lines[0].endswith("3 requests")
    assert lines[2].startswith("it predicts what did happen within ")
    assert lines[4].split()[:3] == ["observed", "replayed", "error"]
    assert lines[4].endswith("token budget 256, TBT target 50 ms")


def test_without_other_settings_a_replay_as_json_is_how_well_it_predicts(sarathictl: Any, file: Path) -> None:
    found = json.loads(sarathictl("replay", str(file), "--json").out)

    assert (found["profile"], found["forecasts"]) == ("a100/yi-34b-tp2", [])
    assert found["replayed"]["tbt_p50_s"] == pytest.approx(found["observed"]["tbt_p50_s"], rel=0.02)


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--budget", "many"), "--budget: 'many' is not understood"), (("--slo", "tbt"), "'tbt' is not a target")],
)
def test_what_cannot_be_tried_is_said_in_one_line(
    sarathictl: Any, file: Path, options: tuple[str, ...], words: str
) -> None:
    outcome = sarathictl("replay", str(file), *options)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert words in outcome.err


def test_a_file_that_is_no_recording_is_refused(sarathictl: Any, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("words")
    outcome = sarathictl("replay", str(tmp_path / "words"))
    assert outcome.code == 2
    assert "holds no recording" in outcome.err
