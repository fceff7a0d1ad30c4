"""The plain commands against a daemon that only talks, over real sockets."""

import socket
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from sarathictl.client import control
from sarathictl.program import COMMANDS
from sarathid.errors import ControlRefused, NotReachable
from sarathid.paths import CONTROL_SOCKET
from sarathid.protocol.control import (
    Cancel,
    Cancelled,
    ControlRequest,
    DaemonState,
    Drain,
    Draining,
    ErrorCode,
    ExplainBudget,
    ExplainRequest,
    GetStatus,
    ListRequests,
    OwnerStatus,
    Pause,
    Paused,
    RecorderStatus,
    RequestList,
    Resume,
    Resumed,
    Retuned,
    SetBudget,
    SetPolicy,
    SetSLO,
    Status,
)
from sarathid.protocol.slo import SLOChange
from sarathid.protocol.why import RequestReasons
from tests.sarathictl.reasons import make_budget_reasons, make_request_reasons
from tests.sarathictl.records import make_request_status, make_settings, make_status
from tests.sarathictl.stub_daemon import StubDaemon


def set_budget(op: SetBudget) -> Retuned:
    assert isinstance(op.budget, int)
    if not 16 <= op.budget <= 8192:
        raise ControlRefused(ErrorCode.OUT_OF_RANGE, f"{op.budget} is not in 16..8192", "give 16 to 8192 tokens")
    return Retuned(old=make_settings(), new=make_settings(op.budget, revision=2), iteration=88390)


def cancel(op: Cancel) -> Cancelled:
    if op.request_id != 17:
        raise ControlRefused(ErrorCode.NOT_FOUND, f"no request {op.request_id}")
    return Cancelled(request_id=op.request_id)


def explain_request(op: ExplainRequest) -> RequestReasons:
    if op.request_id != 17:
        raise ControlRefused(ErrorCode.NOT_FOUND, f"no request {op.request_id}")
    return make_request_reasons()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[StubDaemon]:
    answers: dict[type[ControlRequest], Callable[[Any], Any]] = {
        GetStatus: lambda op: make_status(),
        ListRequests: lambda op: RequestList(requests=(make_request_status(),)),
        SetBudget: set_budget,
        SetPolicy: lambda op: Retuned(old=make_settings(), new=make_settings(policy=op.policy), iteration=5),
        SetSLO: lambda op: Retuned(old=make_settings(), new=make_settings(tbt_s=op.slo.tbt_s), iteration=5),
        Cancel: cancel,
        Pause: lambda op: Paused(num_in_flight=3),
        Resume: lambda op: Resumed(state=DaemonState.READY),
        Drain: lambda op: Draining(num_in_flight=3, timeout_s=op.timeout_s or 30.0),
    }
    with StubDaemon(tmp_path, answers) as daemon:
        yield daemon


def test_status_says_what_runs_and_how_well(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("status")
    assert outcome.code == 0
    assert "ready, version 0.1.0, pid 4711, up 75 s" in outcome.out
    assert "128 tokens an iteration of 16 to 8192 (revision 1)" in outcome.out
    assert "p50 24 ms, p99 95 ms, max 412 ms over the last 60 s; target 100 ms" in outcome.out
    assert "iterations within 3.1 % (p50), 12 % (p95) over the last 60 s" in outcome.out
    assert "overload" not in outcome.out
    assert outcome.err == ""


@pytest.mark.parametrize(
    ("recorder", "words"),
    [
        (RecorderStatus(is_recording=True, directory="/x", num_bytes=1 << 20), "keeps 1 MiB of the past in /x"),
        (RecorderStatus(is_recording=False, message="stopped: no space left"), "off: stopped: no space left"),
    ],
)
def test_status_says_whether_the_past_is_recorded(
    daemon: StubDaemon, sarathictl: Any, recorder: RecorderStatus, words: str
) -> None:
    daemon.answers[GetStatus] = lambda op: msgspec.structs.replace(make_status(), recorder=recorder)
    assert f"recorder  {words}" in sarathictl("status").out


def test_status_says_that_the_daemon_is_overloaded(daemon: StubDaemon, sarathictl: Any) -> None:
    daemon.answers[GetStatus] = lambda op: msgspec.structs.replace(make_status(), is_overloaded=True)
    assert "take all the time that the TBT target allows" in sarathictl("status").out


def test_status_as_json_has_a_schema_version_and_seconds(daemon: StubDaemon, sarathictl: Any) -> None:
    answer = sarathictl("status", "--json").json
    assert answer["schema_version"] == 1
    assert answer["tbt"]["p99_s"] == 0.095


def test_status_check_exits_8_when_a_target_is_missed(daemon: StubDaemon, sarathictl: Any) -> None:
    assert sarathictl("status", "--check").code == 0
    daemon.answers[GetStatus] = lambda op: make_status(make_settings(tbt_s=0.05))
    outcome = sarathictl("status", "--check")
    assert (outcome.code, outcome.out) == (8, "")


def test_requests_are_listed_in_a_table(daemon: StubDaemon, sarathictl: Any) -> None:
    header, row = sarathictl("requests").out.splitlines()
    assert header.split()[:3] == ["ID", "STATE", "PROMPT"]
    assert row.split()[:2] == ["17", "decode"]
    assert "188/320" in row


def test_owners_that_share_the_engine_have_a_table_of_their_own(daemon: StubDaemon, sarathictl: Any) -> None:
    status = OwnerStatus(num_running=3, num_waiting=0, window_s=60.0, num_tokens=900, share=0.75, deficit=0)
    owed = OwnerStatus(num_running=0, num_waiting=2, window_s=60.0, num_tokens=300, share=0.25, deficit=640)
    owners = {"uid 1000": status, "key web-7": owed}
    daemon.answers[ListRequests] = lambda op: RequestList(requests=(make_request_status(),), owners=owners)

    heading, first, second = sarathictl("requests").out.splitlines()[-3:]
    assert heading.split() == ["OWNER", "RUNNING", "WAITING", "TOKENS", "SHARE", "DEFICIT"]
    assert first.split() == ["uid", "1000", "3", "0", "900", "75", "%", "0"]
    assert second.split() == ["key", "web-7", "0", "2", "300", "25", "%", "640"]
    assert sarathictl("requests", "--json").json["owners"]["key web-7"]["deficit"] == 640


def test_why_explains_the_budget_or_a_request(daemon: StubDaemon, sarathictl: Any) -> None:
    daemon.answers[ExplainBudget] = lambda op: make_budget_reasons()
    daemon.answers[ExplainRequest] = explain_request
    assert sarathictl("why").out.startswith("budget     612 tokens an iteration, auto: what fits into the TBT target")
    assert "17 of web-7, decode" in sarathictl("why", "17").out
    assert sarathictl("why", "17", "--json").json["status"]["request_id"] == 17


def test_why_of_an_unknown_request_exits_4(daemon: StubDaemon, sarathictl: Any) -> None:
    daemon.answers[ExplainRequest] = explain_request
    outcome = sarathictl("why", "18")
    assert (outcome.code, outcome.out) == (4, "")
    assert "no request 18" in outcome.err


def test_set_budget_prints_old_and_new_and_from_when(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("set-budget", "512")
    assert outcome.code == 0
    assert outcome.out == "token budget 128 -> 512 (revision 2), in force from iteration 88390\n"


def test_a_budget_out_of_range_is_refused_with_the_range(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("set-budget", "9999999")
    assert outcome.code == 7
    assert "16..8192" in outcome.err
    assert "give 16 to 8192 tokens" in outcome.err
    assert outcome.out == ""


def test_a_refusal_as_json_is_an_error_object_on_stdout(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("--json", "set-budget", "9999999")
    assert outcome.code == 7
    assert outcome.json["error"]["code"] == 7
    assert outcome.json["error"]["kind"] == "out-of-range"
    assert outcome.err == ""


def test_a_budget_that_is_no_number_is_a_usage_error(daemon: StubDaemon, sarathictl: Any) -> None:
    assert sarathictl("set-budget", "many").code == 2
    assert daemon.asked == []


def test_set_policy_prints_old_and_new(daemon: StubDaemon, sarathictl: Any) -> None:
    assert "policy stall-free -> prefill-first" in sarathictl("set-policy", "prefill-first").out


def test_set_slo_keeps_the_target_that_is_not_named(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("set-slo", "tbt=250ms")
    assert "TBT target 100 ms -> 250 ms" in outcome.out
    assert daemon.asked == [SetSLO(id=1, slo=SLOChange(tbt_s=0.25))]


def test_set_slo_off_removes_both_targets(daemon: StubDaemon, sarathictl: Any) -> None:
    sarathictl("set-slo", "off")
    assert daemon.asked == [SetSLO(id=1, slo=SLOChange(tbt_s=None, ttft_s=None))]


@pytest.mark.parametrize("target", ["tbt", "tbt=", "tbt=5x", "tbt=100", "speed=1s", "tbt=-1s", "tbt=9999m"])
def test_a_target_that_cannot_be_read_is_never_sent(daemon: StubDaemon, sarathictl: Any, target: str) -> None:
    assert sarathictl("set-slo", target).code == 2
    assert daemon.asked == []


def test_cancel_of_a_client_or_of_all_asks_first(daemon: StubDaemon, sarathictl: Any) -> None:
    held = (make_request_status(17), make_request_status(18))
    daemon.answers[ListRequests] = lambda op: RequestList(requests=held)
    assert sarathictl("cancel", "--client", "web").code == 2
    assert sarathictl("cancel", "--client", "web", "-y").out == "cancelled 17\n"  # 18 ended in between
    assert sarathictl("cancel", "--client", "batch", "-y").out == ""
    assert sarathictl("-y", "cancel", "--all", "--json").json["cancelled"] == [17]
    assert sarathictl("cancel", "--all", "17").code == 2
    assert sarathictl("cancel").code == 2


def test_cancel_of_an_unknown_request_exits_4(daemon: StubDaemon, sarathictl: Any) -> None:
    assert sarathictl("cancel", "17").out == "cancelled 17\n"
    assert sarathictl("cancel", "18").code == 4


def test_drain_asks_first_or_needs_yes(daemon: StubDaemon, sarathictl: Any) -> None:
    assert sarathictl("drain").code == 2
    assert daemon.asked == []
    assert "draining 3 in flight, at most 5 s" in sarathictl("drain", "--yes", "--deadline", "5s").out


def test_pause_and_resume_say_what_comes_of_them(daemon: StubDaemon, sarathictl: Any) -> None:
    assert sarathictl("pause").out == "paused, 3 in flight go on to their end\n"
    assert sarathictl("resume", "--json").json["state"] == "ready"
    assert sarathictl("--read-only", "pause").code == 5


def test_a_paused_daemon_has_drained_when_nothing_is_in_flight(daemon: StubDaemon, sarathictl: Any) -> None:
    paused = msgspec.structs.replace(make_status(), state=DaemonState.PAUSED)
    counts = iter([1, 0])
    daemon.answers[GetStatus] = lambda op: msgspec.structs.replace(paused, num_running=next(counts), num_waiting=0)
    assert sarathictl("status", "--wait", "drained").code == 0
    assert len(daemon.asked) == 2


def test_a_daemon_that_is_not_there_exits_3_and_says_what_to_do(sarathictl: Any) -> None:
    outcome = sarathictl("status")
    assert outcome.code == 3
    assert "start one with `sarathid serve`" in outcome.err


def test_a_daemon_that_does_not_answer_exits_124(tmp_path: Path, sarathictl: Any) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / CONTROL_SOCKET))
        listener.listen()
        outcome = sarathictl("--timeout", "0.05", "status")
    assert outcome.code == 124
    assert "did not answer within 0.05 s" in outcome.err


def test_a_daemon_that_ends_before_it_answers_is_not_reachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LOOK_EVERY_S", 0.01)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / CONTROL_SOCKET))
        listener.listen()
        client = control.ControlClient(tmp_path / CONTROL_SOCKET, timeout_s=60.0)
    with client, pytest.raises(NotReachable):
        client.request(GetStatus(), Status)


def test_an_unknown_scheme_is_a_usage_error(sarathictl: Any) -> None:
    assert sarathictl("-A", "https://example.org", "status").code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_line_of_a_command_opens_its_docstring(name: str) -> None:
    function_name = name.replace("-", "_")
    command: Any = getattr(import_module(f"sarathictl.commands.{function_name}"), function_name)
    if isinstance(command, typer.Typer):
        assert command.registered_callback is not None
        command = command.registered_callback.callback
    assert command.__doc__.splitlines()[0] == COMMANDS[name]
