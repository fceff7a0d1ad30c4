"""`sarathid simulate` and `capacity` print what machines read, and refuse what cannot be in one line."""

import csv
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sarathid.cli import main
from sarathid.commands import capacity, simulate
from tests.trace.perfetto_trace import read_trace

REQUESTS = "arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,1000,20\n0.5,3000,10\n0.9,50,40\n"
PROFILE = "a100/llama-3-8b-tp1"


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    path = tmp_path / "requests.csv"
    path.write_text(REQUESTS)
    return path


def simulated(*options: str) -> dict[str, object]:
    result = CliRunner().invoke(simulate.app, ["--profile", PROFILE, "--json", *options], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_simulate_prints_one_object(request_file: Path) -> None:
    found = simulated("--policy", "stall-free", "--budget", "512", "--workload", str(request_file))

    for latency in ("ttft_s", "tbt_s", "scheduling_delay_s"):
        assert set(found[latency]) == {"p50", "p90", "p99", "max"}  # type: ignore[call-overload]
    assert (found["num_requests"], found["num_finished"], found["num_preemptions"]) == (3, 3, 0)
    assert found["requests_per_s"] == pytest.approx(3 / found["makespan_s"])  # type: ignore[operator]


def test_the_seed_decides_the_run() -> None:
    first, again, other = (
        simulated("--workload", "sharegpt4", "--num-requests", "16", "--seed", seed) for seed in ("1", "1", "2")
    )

    assert first == again != other


def test_simulate_writes_a_row_a_request_and_a_trace(request_file: Path, tmp_path: Path) -> None:
    rows, trace = tmp_path / "rows.csv", tmp_path / "run.pftrace"
    simulated("--workload", str(request_file), "--csv", str(rows), "--trace", str(trace))

    with rows.open(newline="") as file:
        written = {row["request_id"]: row for row in csv.DictReader(file)}
    assert {name: row["num_output_tokens"] for name, row in written.items()} == {"0": "20", "1": "10", "2": "40"}
    found = read_trace(trace.read_bytes())
    assert [slice_.lane for slice_ in found.named("prefill")] == ["request 0", "request 1", "request 2"]
    assert [slice_.start_ns for slice_ in found.named("queue")] == [0, 500_000_000, 900_000_000]


def test_simulate_takes_a_daemons_limits_and_its_pace_and_tells_of_a_window(request_file: Path, tmp_path: Path) -> None:
    pace = tmp_path / "pace.json"
    pace.write_text(
        '{"regimes": [{"has_decodes": true, "size_class": 0, "factors": [1.2, 1.4]}], "levels": [[0.5, 1.1]]}'
    )
    limits = ["--num-blocks", "400", "--block-size", "16", "--min-budget", "16", "--max-budget", "1024"]
    settings = ["--budget", "auto", "--slo-tbt", "100ms", "--then", "0.5s:budget=256", "--overload", "admit"]
    device = ["--correction", "1.1", "--pace", str(pace), "--window", ":1s"]
    found = simulated("--workload", str(request_file), *limits, *settings, *device)

    assert found["window"]["window_s"] == 1.0  # type: ignore[index]
    assert found["window"]["tokens_per_s"] > 0  # type: ignore[index]
    result = CliRunner().invoke(
        simulate.app, ["--profile", PROFILE, "--workload", str(request_file), *settings, "--window", ":1s"]
    )
    assert "in the window" in result.stdout


def test_words_say_that_it_is_simulated(request_file: Path) -> None:
    result = CliRunner().invoke(simulate.app, ["--profile", PROFILE, "--workload", str(request_file)])

    assert "simulated" in result.stdout
    assert "3 of 3 requests" in result.stdout


def test_capacity_prints_an_answer_for_each_objective() -> None:
    options = ["--workload", "constant:2000:20", "--num-requests", "64", "--slo-tbt", "50ms", "--slo-tbt", "10s"]
    result = CliRunner().invoke(capacity.app, ["--profile", PROFILE, "--json", *options], catch_exceptions=False)
    found = json.loads(result.stdout)
    strict, loose = found["capacities"]

    assert (strict["slo_tbt_s"], loose["slo_tbt_s"]) == (0.05, 10.0)
    assert 0.0 < strict["rate_per_s"] <= loose["rate_per_s"] < loose["lowest_failing_per_s"]
    assert found["num_requests"] == 64


def test_a_capacity_trial_can_be_held_to_those_that_come_within_a_time() -> None:
    options = ["--workload", "constant:2000:20", "--num-requests", "512", "--slo-tbt", "10s", "--max-arrival", "5s"]
    result = CliRunner().invoke(capacity.app, ["--profile", PROFILE, "--json", *options], catch_exceptions=False)
    trials = json.loads(result.stdout)["capacities"][0]["trials"]
    counts = [trial["report"]["num_requests"] for trial in sorted(trials, key=lambda trial: trial["rate_per_s"])]

    assert 0 < counts[0] < counts[-1] < 512
    assert counts == sorted(counts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--profile", "b200/gpt"], "there is no profile 'b200/gpt'"),
        (["--budget", "0"], "--budget: '0' is not understood; write a number of tokens from 1 on, auto or profiled"),
        (["--rate", "nan"], "a rate of nan is not a positive number"),
        (["--policy", "best"], "there is no policy 'best'"),
        (["--scale", "8"], "a scale of '8' is not understood"),
        (["--num-requests", "0"], "0 requests are no workload"),
        (["--num-requests", "10000000"], "10000000 requests are no workload"),
        (
            ["--budget", "128", "--min-budget", "900", "--max-budget", "128"],
            "--min-budget 900 is above --max-budget 128",
        ),
        (["--workload", "{file}"], "{file}:2: num_prefill_tokens is '-5'"),
        (["--pace", "/nonexistent.json"], "/nonexistent.json: No such file"),
        (["--then", "5s:tempo=2"], "'5s:tempo=2' is no change; write"),
        (["--then", "1s:budget=9000000"], "--then: a token budget of 9000000 is outside"),
        (["--window", "9s:5s"], "there is no time between 9 s and 5 s"),
        (["--num-blocks", "8"], "does not fit: the KV cache of"),
        (["--csv", "/nonexistent/rows.csv"], "/nonexistent/rows.csv: No such file"),
        (["--max-model-len", "999999"], "does not fit: the KV cache of"),
    ],
)
def test_what_cannot_be_gets_one_line_and_exit_code_2(
    options: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "wrong.csv"
    file.write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n0.0,-5,20\n")
    given = [option.format(file=file) for option in options]
    defaults = ["--profile", PROFILE, "--workload", "sharegpt4"]
    monkeypatch.setattr(sys, "argv", ["sarathid", "simulate", *defaults, *given])

    with pytest.raises(SystemExit) as ended:
        main()

    told = capsys.readouterr()
    assert ended.value.code == 2
    assert told.err.count("\n") == 1
    assert words.format(file=file) in told.err
    assert told.out == ""


def test_a_file_without_times_needs_a_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "untimed.csv"
    file.write_text("id,t_unit,prompt,output\n0,1.0,100,10\n")
    monkeypatch.setattr(sys, "argv", ["sarathid", "simulate", "--profile", PROFILE, "--workload", str(file)])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert "give --rate" in capsys.readouterr().err
