from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.bench.hot_paths.ratios import chosen, report
from tests.bench.hot_paths.stored_form import (
    pytest_benchmark_update_commit_info,
    pytest_benchmark_update_json,
    pytest_benchmark_update_machine_info,
)
from tests.bench.hot_paths.stored_run import StoredRun, Taken, stored_runs


def make_run(number: str = "0001", processor: str = "EPYC", **fastest_us: float) -> StoredRun:
    taken = {name: Taken(us / 1e6, 2 * us / 1e6) for name, us in fastest_us.items()}
    return StoredRun(number, commit="0123456789abcdef", is_dirty=False, machine=processor, taken=taken)


def make_measured(*turns: tuple[float, float]) -> dict[str, Any]:
    """Return a run of one path as pytest-benchmark tells of it, each turn by its fastest and its median seconds."""
    benchmarks = [
        {
            "name": f"test_hot_path[{turn}-encode]",
            "params": {"turn": turn, "name": "encode"},
            "options": {"timer": "ada"},
            "stats": {"min": fastest_s, "median": median_s, "ld15iqr": fastest_s},
        }
        for turn, (fastest_s, median_s) in enumerate(turns)
    ]
    return {
        "machine_info": {"node": "ada", "python_version": "3.11.7", "cpu": {"brand_raw": "EPYC", "flags": ["avx"]}},
        "commit_info": {"id": "0123456789abcdef", "dirty": True, "project": "ada", "branch": "ada"},
        "benchmarks": benchmarks,
    }


def test_ratios_are_to_the_run_before_and_a_new_path_has_none() -> None:
    now, then = make_run("0002", encode=12.0, decode=10.0, record=5.0), make_run("0001", encode=10.0, decode=10.0)

    lines = list(report(*chosen([then, now], [])))

    assert lines[0] == "Run 0002 (0123456789) against 0001 (0123456789)"
    assert [line.split() for line in lines[2:]] == [
        ["encode", "12.0", "1.20", "24.0", "1.20"],
        ["decode", "10.0", "1.00", "20.0", "1.00"],
        ["record", "5.0", "-", "10.0", "-"],
        ["the", "middle", "ratio", "1.10", "1.10"],
    ]


def test_runs_of_different_machines_are_told_apart() -> None:
    lines = list(report(make_run("0002", "Xeon", encode=2.0), make_run("0001", "EPYC", encode=1.0)))

    assert lines[1] == "These ratios say nothing of the sources: Xeon against EPYC."


def test_any_two_runs_are_compared_and_the_first_is_shown_alone() -> None:
    runs = [make_run(number) for number in ("0001", "0002", "0003")]

    assert chosen(runs, ["0003", "0001"]) == (runs[2], runs[0])
    assert chosen(runs, ["0002"]) == (runs[1], runs[0])
    assert chosen(runs, ["0001"]) == (runs[0], None)
    with pytest.raises(SystemExit, match="0001, 0002, 0003"):
        chosen(runs, ["0004"])


def test_a_stored_run_has_each_paths_least_disturbed_turn_and_names_nobody(tmp_path: Path) -> None:
    measured = make_measured((0.002, 0.003), (0.001, 0.002), (0.001, 0.004))
    pytest_benchmark_update_machine_info(measured["machine_info"])
    pytest_benchmark_update_commit_info(measured["commit_info"])
    pytest_benchmark_update_json(measured)
    stored = tmp_path / "Linux-CPython-3.11-64bit" / "0007_0123.json"
    stored.parent.mkdir()
    stored.write_bytes(msgspec.json.encode(measured))

    (run,) = stored_runs(tmp_path)

    assert b"ada" not in stored.read_bytes()
    assert run.title == "0007 (0123456789 and what is not committed)"
    assert run.machine == "EPYC, Python 3.11.7"
    assert run.taken == {"encode": Taken(0.001, 0.002)}
