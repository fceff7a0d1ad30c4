"""The commands that read: their golden text (`UPDATE_GOLDEN=1` writes it anew), their JSON and their exit codes."""

import csv
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sarathid.protocol.control import (
    AuditTrail,
    ControlRequest,
    DaemonState,
    ExplainBudget,
    ExplainRequest,
    GetAudit,
    GetHistory,
    GetSnapshot,
    GetStatus,
    History,
    ListRequests,
    RecorderStatus,
    RequestList,
    RequestState,
    Snapshot,
    Status,
    WorkFigures,
)
from sarathid.protocol.revisions import AuditEntry, AuditEvent
from sarathid.protocol.roles import Role
from sarathid.protocol.stats import IterationStats, LifeCycle, RequestStats, StageTime, StallEvent
from tests.sarathictl.reasons import make_budget_reasons, make_request_reasons
from tests.sarathictl.records import (
    START_S,
    PaperEngine,
    make_request_status,
    make_settings,
    make_snapshot,
    make_status,
)
from tests.sarathictl.revisions import make_revision
from tests.sarathictl.stub_daemon import StubDaemon
from tests.sarathictl.tui.bench import changed

GOLDEN = Path(__file__).parent / "golden" / "commands"
END_S = START_S + 8.0
COMMANDS = [
    "status",
    "get",
    "get tbt",
    "requests",
    "requests --sort worst --filter worst>100ms",
    "stalls",
    "stalls --since 2s --min 200ms",
    "stalls --cause decode",
    "events",
    "events --type change --type engine",
    "latency",
    "latency --by client",
    "kv",
    "stages",
    "fleet",
    "history",
    "audit",
    "why",
    "why 17",
    "doctor",
    "ls --state waiting",
    "cancel --client web --dry-run",
    "-o csv requests",
    "-o wide requests",
    "-o wide fleet",
    "-o wide stages",
    "-o wide latency",
    "-o wide history",
    "-o wide stalls --since 2s",
    "-o jsonl latency",
    "--ascii doctor",
]
BAD_ANSWERS = ("fleet", "-o wide fleet", "doctor", "--ascii doctor")

pytestmark = pytest.mark.usefixtures("utc")


def make_full_status() -> Status:
    work = WorkFigures(num_iterations=300, fill=0.7, bubble=0.061)
    status = make_status(make_settings(256))
    return msgspec.structs.replace(status, time_s=END_S, role=Role.OPERATE, work=work, num_late=status.tbt.count // 50)


def make_full_snapshot() -> Snapshot:
    records = list(PaperEngine(make_settings(256)).run(END_S))
    iterations = [record for record in records if isinstance(record, IterationStats)]
    staged = [
        msgspec.structs.replace(
            record, stages=(StageTime(record.start_s, 0.03, 0.0), StageTime(record.start_s + 0.03, 0.02, 0.01))
        )
        for record in iterations
    ]
    stalls = [record for record in records if isinstance(record, StallEvent)]
    ready = LifeCycle(time_s=START_S, state="ready", message="ready in 2 s")
    return msgspec.structs.replace(
        make_snapshot(iterations=tuple(staged)),
        status=make_full_status(),
        events=(ready, *stalls, changed(make_settings(256))),
        finished=tuple(record for record in records if isinstance(record, RequestStats)),
    )


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubDaemon]:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    monkeypatch.setenv("SARATHID_CONFIG", str(tmp_path / "ctl.toml"))
    known = f'contexts.here.addr = "{tmp_path}"\ncontexts.prod-1 = {{ addr = "/nowhere", read_only = true }}\n'
    (tmp_path / "ctl.toml").write_text(known)
    waiting = make_request_status(18, RequestState.WAITING)
    entry = AuditEntry(time_s=1.0, event=AuditEvent.CHANGED, by="0/17/bash", revision=make_revision(2))
    answers: dict[type[ControlRequest], Callable[[Any], Any]] = {
        GetStatus: lambda _: make_full_status(),
        ListRequests: lambda _: RequestList(requests=(make_request_status(17), waiting)),
        GetSnapshot: lambda _: make_full_snapshot(),
        GetHistory: lambda _: History(revisions=(make_revision(1), make_revision(2))),
        GetAudit: lambda _: AuditTrail(entries=(entry,), num_left_out=0),
        ExplainBudget: lambda _: make_budget_reasons(),
        ExplainRequest: lambda _: make_request_reasons(),
    }
    with StubDaemon(tmp_path, answers) as stub:
        yield stub


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_prints(daemon: StubDaemon, sarathictl: Any, tmp_path: Path, command: str) -> None:
    outcome = sarathictl(*command.split())
    path = GOLDEN / f"{command.replace('--', '').replace('-o ', '').replace(' ', '_').replace('>', '-over-')}.txt"
    text = outcome.out.replace(str(tmp_path), "DIR")
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
    assert outcome.code == (8 if command in BAD_ANSWERS else 0)
    assert outcome.out.isascii() or "--ascii" not in command
    assert outcome.err == ""


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("-")])
def test_a_command_as_json_is_one_object_with_the_version_of_its_schema(
    daemon: StubDaemon, sarathictl: Any, command: str
) -> None:
    outcome = sarathictl("--json", *command.split())
    assert outcome.out.count("\n") == 1
    assert outcome.json["schema_version"] == 1


def test_stalls_fail_over_a_number_of_them(daemon: StubDaemon, sarathictl: Any) -> None:
    num_stalls = len(sarathictl("stalls", "--json").json["stalls"])
    assert sarathictl("stalls", "--fail-over", str(num_stalls)).code == 0
    assert sarathictl("stalls", "--fail-over", str(num_stalls - 1)).code == 8
    assert sarathictl("stalls", "--fail-over", "1", "--follow").code == 2


def test_every_form_of_output_tells_the_same(daemon: StubDaemon, sarathictl: Any) -> None:
    rows = sarathictl("--json", "requests").json["requests"]
    lines = [json.loads(line) for line in sarathictl("-o", "jsonl", "requests").out.splitlines()]
    assert lines == [{"schema_version": 1, **row} for row in rows]
    heading, *cells = csv.reader(sarathictl("-o", "csv", "requests").out.splitlines())
    assert heading == list(rows[0])
    assert [row[0] for row in cells] == [str(row["request_id"]) for row in rows]
    assert sarathictl("-o", "json", "requests").json["requests"] == rows
    assert sarathictl("-o", "json", "context", "use", "nobody").json["error"]["code"] == 2


def test_doctor_finds_nothing_in_a_daemon_that_is_well(daemon: StubDaemon, sarathictl: Any) -> None:
    daemon.answers[GetSnapshot] = lambda _: make_snapshot()
    outcome = sarathictl("doctor")
    assert outcome.code == 0
    assert "checks are fine" in outcome.out


@pytest.mark.parametrize(
    ("recorder", "advice"),
    [
        (RecorderStatus(is_recording=False, message="switched off"), "`sarathid serve --record 60m`"),
        (
            RecorderStatus(is_recording=False, message="stopped: no space left", directory="/x/flight"),
            "mend that for /x/flight: it tries again every minute",
        ),
    ],
)
def test_doctor_says_why_nothing_is_recorded_and_what_helps(
    daemon: StubDaemon, sarathictl: Any, recorder: RecorderStatus, advice: str
) -> None:
    status = msgspec.structs.replace(make_status(), recorder=recorder)
    daemon.answers[GetSnapshot] = lambda _: msgspec.structs.replace(make_snapshot(), status=status)
    outcome = sarathictl("doctor")
    assert outcome.code == 8
    assert f"nothing is recorded: {recorder.message}" in outcome.out
    assert advice in " ".join(outcome.out.split())


@pytest.mark.parametrize(
    ("num_running", "code", "words"),
    [(1, 0, "while fewer requests ran than it takes to fill 2 stages"), (2, 8, "what even batches would give")],
)
def test_doctor_blames_batches_for_bubbles_only_where_there_were_requests_to_fill_the_stages(
    daemon: StubDaemon, sarathictl: Any, num_running: int, code: int, words: str
) -> None:
    stages = (StageTime(START_S, 0.02, 0.0), StageTime(START_S + 0.02, 0.02, 0.02))
    record = next(record for record in PaperEngine().run(START_S + 1.0) if isinstance(record, IterationStats))
    record = msgspec.structs.replace(record, stages=stages, num_running=num_running)
    daemon.answers[GetSnapshot] = lambda _: make_snapshot(iterations=(record,))
    outcome = sarathictl("doctor")
    assert outcome.code == code
    assert "stage 1 idled 50 % of the time although there was work" in outcome.out
    assert words in " ".join(outcome.out.split())


@pytest.mark.parametrize(
    ("layout", "command"),
    [("tp=1 pp=1", "sarathid profile"), ("tp=2 pp=3 on 2 nodes", "sarathid profile --tp 2 --pp 3")],
)
def test_doctor_has_the_layout_that_serves_measured_where_forecasts_are_off(
    daemon: StubDaemon, sarathictl: Any, layout: str, command: str
) -> None:
    status = make_status()
    assert status.engine is not None
    engine = msgspec.structs.replace(status.engine, layout=layout)
    error = msgspec.structs.replace(status.prediction_error, p50=0.5)
    status = msgspec.structs.replace(status, engine=engine, prediction_error=error)
    daemon.answers[GetSnapshot] = lambda _: msgspec.structs.replace(make_snapshot(), status=status)
    outcome = sarathictl("doctor")
    assert outcome.code == 8
    assert f"`{command}` measures this device" in outcome.out


def test_nothing_to_tell_prints_nothing(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("stalls", "--min", "1h")
    assert (outcome.code, outcome.out) == (0, "")


def test_get_of_an_engine_that_is_not_ready_is_refused(daemon: StubDaemon, sarathictl: Any) -> None:
    daemon.answers[GetStatus] = lambda _: msgspec.structs.replace(make_full_status(), settings=None)
    outcome = sarathictl("get")
    assert outcome.code == 7
    assert "status --wait ready" in outcome.err


def test_status_waits_until_the_daemon_is_ready(daemon: StubDaemon, sarathictl: Any) -> None:
    starting = msgspec.structs.replace(make_full_status(), state=DaemonState.STARTING)
    states = iter([starting, starting, make_full_status()])
    daemon.answers[GetStatus] = lambda _: next(states)
    outcome = sarathictl("status", "--wait", "ready")
    assert (outcome.code, outcome.out) == (0, "")
    assert len(daemon.asked) == 3


def test_status_waits_no_longer_than_the_deadline(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("status", "--wait", "drained", "--deadline", "10ms")
    assert outcome.code == 124
    assert "not drained within 10 ms" in outcome.err


def test_a_daemon_that_is_gone_has_drained(sarathictl: Any) -> None:
    assert sarathictl("status", "--wait", "drained").code == 0


def test_contexts_are_added_used_and_removed(daemon: StubDaemon, sarathictl: Any, tmp_path: Path) -> None:
    assert sarathictl("context", "add", "here", str(tmp_path)).code == 0
    assert sarathictl("context", "use", "here").code == 0
    assert sarathictl("context", "list", "--json").json["current"] == "here"
    assert sarathictl("-c", "here", "get", "budget").out == "256\n"
    assert sarathictl("-c", "prod-1", "set-budget", "512").code == 3
    assert sarathictl("context", "remove", "here").code == 0
    assert sarathictl("-c", "here", "status").code == 2
    assert sarathictl("context", "add", "x", "http://there").code == 2


def test_a_context_has_a_color_that_the_list_names(daemon: StubDaemon, sarathictl: Any, tmp_path: Path) -> None:
    assert sarathictl("context", "add", "prod", str(tmp_path), "--color", "red").code == 0
    assert ["prod", str(tmp_path), "red"] in [line.split() for line in sarathictl("context", "list").out.splitlines()]
    assert sarathictl("context", "list", "--json").json["contexts"]["prod"]["color"] == "red"


def test_a_context_that_is_read_only_changes_nothing(daemon: StubDaemon, sarathictl: Any, tmp_path: Path) -> None:
    sarathictl("context", "add", "look", str(tmp_path), "--read-only")
    assert sarathictl("-c", "look", "set-budget", "512").code == 5


def test_config_says_where_each_value_comes_from(
    daemon: StubDaemon, sarathictl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SARATHID_READONLY", "1")
    found = sarathictl("config", "view", "--origin", "--json").json["config"]
    assert found["addr"]["origin"] == "$SARATHID_RUNTIME_DIR"
    assert found["read_only"] == {"value": "true", "origin": "$SARATHID_READONLY"}
    assert found["file"]["origin"] == "$SARATHID_CONFIG"


class FirstLines:
    """A standard output that tells when it holds so many lines, and then is closed at the other end."""

    encoding = "utf-8"

    def __init__(self, num_lines: int) -> None:
        self.lines: list[str] = []
        self._num_lines = num_lines
        self.is_full = threading.Event()

    def write(self, text: str) -> int:
        if self.is_full.is_set():
            raise BrokenPipeError
        self.lines += text.splitlines()
        if len(self.lines) >= self._num_lines:
            self.is_full.set()
        return len(text)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def test_events_follow_what_comes_and_end_in_silence_with_who_reads_them(
    daemon: StubDaemon, sarathictl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = FirstLines(3)
    monkeypatch.setattr("sys.stdout", out)

    def publish() -> None:
        daemon.wait_for_subscriber()
        for revision in range(9, 100):
            daemon.publish(changed(make_settings(64, revision=revision)))
            if out.is_full.wait(0.05):
                daemon.publish(changed(make_settings(64, revision=revision + 1)))

    publisher = threading.Thread(target=publish)
    publisher.start()
    outcome = sarathictl("events", "--follow", "--since", "1ms", "--type", "change", "--json")
    publisher.join()
    assert outcome.code == 141
    assert outcome.err == ""
    assert [json.loads(line)["kind"] for line in out.lines] == ["change"] * len(out.lines)
