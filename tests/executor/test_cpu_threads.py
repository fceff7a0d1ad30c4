"""Threads follow the cores that the process may use."""

import os
from pathlib import Path

import pytest

from sarathid.executor import cpu_threads
from sarathid.executor.cpu_threads import engine_environment, usable_cores


@pytest.fixture
def quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the control group's quota; eight cores in the affinity."""
    path = tmp_path / "cpu.max"
    monkeypatch.setattr(cpu_threads, "_CGROUP_V2_QUOTA", path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    return path


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", 8), ("250000 100000", 3), ("1000 100000", 1), ("9900000 100000", 8)]
)
def test_a_quota_limits_the_cores(quota: Path, text: str, cores: int) -> None:
    quota.write_text(f"{text}\n", encoding="ascii")
    assert usable_cores() == cores


def test_few_cores_wait_passively(quota: Path) -> None:
    quota.write_text("200000 100000\n", encoding="ascii")
    assert engine_environment()["OMP_WAIT_POLICY"] == "PASSIVE"
    assert engine_environment()["OMP_NUM_THREADS"] == "2"


def test_many_cores_of_which_some_stay_free_wait_actively(quota: Path) -> None:
    quota.write_text("max 100000\n", encoding="ascii")
    assert "OMP_WAIT_POLICY" not in engine_environment(num_threads=6)
    assert engine_environment(num_threads=8)["OMP_WAIT_POLICY"] == "PASSIVE"
