"""The comparison of settings against a daemon that only talks, over real sockets."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sarathictl.bench.interference import InterferenceBench
from sarathictl.bench.load import InterferencePlan
from sarathictl.bench.measurement import Setting
from sarathictl.bench.report import describe
from sarathictl.bench.run_files import TOKEN_COLUMNS, RunFiles, Summary
from sarathictl.client.endpoint import Endpoint
from sarathid.errors import ConfigError, ControlRefused, NotReachable, SarathiError
from sarathid.protocol.control import (
    ControlRequest,
    DaemonState,
    ErrorCode,
    GetSnapshot,
    GetStatus,
    ListRequests,
    RequestList,
    Retuned,
    SetBudget,
    SetPolicy,
)
from tests.sarathictl.bench.stub_api import PROMPT_LEN, StubAPI, serving
from tests.sarathictl.records import make_settings, make_snapshot, make_status
from tests.sarathictl.stub_daemon import StubDaemon

PLAN = InterferencePlan(
    num_streams=2,
    num_stream_prompt_tokens=4,
    num_prompt_tokens=PROMPT_LEN,
    num_prompt_output_tokens=2,
    period_s=0.1,
    first_prompt_s=0.01,
    duration_s=0.2,
)
SETTINGS = (Setting("prefill-first"), Setting("stall-free", 64))


def set_policy(op: SetPolicy) -> Retuned:
    if op.policy not in ("prefill-first", "stall-free"):
        raise ControlRefused(ErrorCode.OUT_OF_RANGE, f"there is no policy {op.policy!r}")
    return Retuned(old=make_settings(), new=make_settings(policy=op.policy), iteration=1)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[StubDaemon]:
    answers: dict[type[ControlRequest], Callable[[Any], Any]] = {
        GetStatus: lambda op: make_status(),
        GetSnapshot: lambda op: make_snapshot(),
        ListRequests: lambda op: RequestList(requests=()),
        SetPolicy: set_policy,
        SetBudget: lambda op: Retuned(old=make_settings(), new=make_settings(op.budget), iteration=1),
    }
    with StubDaemon(tmp_path, answers) as daemon:
        yield daemon


def make_bench(
    directory: Path, plan: InterferencePlan = PLAN, say: Callable[[str], None] = lambda words: None
) -> InterferenceBench:
    return InterferenceBench(Endpoint(directory), plan, RunFiles(directory / "out"), say)


def run(directory: Path, api: StubAPI | None = None, settings: tuple[Setting, ...] = SETTINGS) -> Summary:
    with serving(api or StubAPI(), directory / "api.sock"):
        return make_bench(directory).run(settings)


def changes(daemon: StubDaemon) -> list[str | int]:
    """Return what the daemon was set to, in order."""
    return [
        op.policy if isinstance(op, SetPolicy) else op.budget
        for op in daemon.asked
        if isinstance(op, SetPolicy | SetBudget)
    ]


def test_each_setting_is_tried_run_and_taken_back(tmp_path: Path, daemon: StubDaemon) -> None:
    run(tmp_path)

    rehearsed = run_for_real = ["prefill-first", 128, "stall-free", 64]
    restored = ["stall-free", 128]
    assert changes(daemon) == rehearsed + run_for_real + restored


def test_the_run_leaves_a_row_a_token_and_its_figures(tmp_path: Path, daemon: StubDaemon) -> None:
    summary = run(tmp_path)

    with (tmp_path / "out" / "tokens.csv").open() as file:
        header, *rows = list(csv.reader(file))
    assert tuple(header) == TOKEN_COLUMNS
    assert len(rows) == 2 * (2 * 3 + 2 * 2)  # phases x (streams x tokens + prompts x tokens)
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert written["engine"]["model"] == "SmolLM2-135M-Instruct"
    assert [found["tbt"]["count"] for found in written["measurements"]] == [
        6,
        6,
    ]  # two tokens and the wait at the end, by stream
    assert [found.ttft.count for found in summary.measurements] == [2, 2]


def test_the_table_has_a_column_a_setting_and_says_what_failed(tmp_path: Path, daemon: StubDaemon) -> None:
    table = describe(run(tmp_path, StubAPI(refused=frozenset({3}))))

    assert "2 streams decode while a prompt of 40 tokens arrives every 100 ms" in table
    assert "prefill-first  stall-free:64" in table
    assert table.splitlines()[-1] == "failed under stall-free:64: prompt-1: no room"


def test_a_refused_setting_is_found_before_the_first_phase(tmp_path: Path, daemon: StubDaemon) -> None:
    with pytest.raises(ControlRefused, match="no policy 'stall-fre'"):
        run(tmp_path, settings=(Setting("prefill-first"), Setting("stall-fre")))

    assert changes(daemon)[-2:] == ["stall-free", 128]


def test_settings_are_taken_back_after_a_failure(tmp_path: Path, daemon: StubDaemon) -> None:
    with pytest.raises(SarathiError, match="stream-0 could not start: nobody answers"):
        make_bench(tmp_path).run(SETTINGS)  # nobody serves the API

    assert changes(daemon)[-2:] == ["stall-free", 128]


def test_what_else_the_daemon_serves_is_said(tmp_path: Path, daemon: StubDaemon) -> None:
    said: list[str] = []
    with serving(StubAPI(), tmp_path / "api.sock"):
        make_bench(tmp_path, say=said.append).run(SETTINGS)

    assert said[0] == "3 other requests share the daemon; the figures include what they cost"
    assert said[1:] == ["1 of 2: prefill-first, 0 s ...", "2 of 2: stall-free:64, 0 s ..."]


def test_prompts_beyond_the_models_context_are_refused(tmp_path: Path, daemon: StubDaemon) -> None:
    with pytest.raises(ConfigError, match="choose shorter prompts"):
        make_bench(tmp_path, InterferencePlan(num_prompt_tokens=8190)).run(SETTINGS)


def test_a_daemon_that_is_not_ready_is_refused(tmp_path: Path, daemon: StubDaemon) -> None:
    daemon.answers[GetStatus] = lambda op: make_status(state=DaemonState.STARTING)

    with pytest.raises(NotReachable, match="not ready"):
        make_bench(tmp_path).run(SETTINGS)
