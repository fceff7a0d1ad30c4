"""A pytest plugin: what of a run is stored says nothing about who measured it, and is small enough to be committed."""

from typing import Any

_MACHINE = ("python_implementation", "python_version", "machine", "system")
_PROCESSOR = ("brand_raw", "count")
_COMMIT = ("id", "time", "dirty")
_STATISTICS = (
    *("min", "max", "mean", "stddev", "median", "iqr", "q1", "q3"),
    *("outliers", "ops", "rounds", "iterations"),
)


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Keep the processor's model and the interpreter's version, and no name of a host."""
    kept = _only(machine_info, _MACHINE) | {"cpu": _only(machine_info["cpu"], _PROCESSOR)}
    machine_info.clear()
    machine_info.update(kept)


def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    """Keep the commit, and no name of a folder or of a branch."""
    kept = _only(commit_info, _COMMIT)
    commit_info.clear()
    commit_info.update(kept)


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """Keep the statistics of each hot path, from the turn that was disturbed least: its median is the lowest."""
    by_median = sorted(output_json["benchmarks"], key=lambda bench: bench["stats"]["median"], reverse=True)
    least_disturbed = {bench["params"]["name"]: bench["stats"] for bench in by_median}
    names = dict.fromkeys(bench["params"]["name"] for bench in output_json["benchmarks"])
    output_json["benchmarks"] = [
        {"group": None, "name": name, "fullname": name, "stats": _only(least_disturbed[name], _STATISTICS)}
        for name in names
    ]


def _only(fields: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}
