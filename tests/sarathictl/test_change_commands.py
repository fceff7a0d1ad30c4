"""The commands that change settings, and those that tell of changes, against a daemon that only talks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sarathictl.commands import change
from sarathid.errors import ControlRefused
from sarathid.protocol.changes import ChangeOrigin, Figures
from sarathid.protocol.control import (
    AuditTrail,
    ControlRequest,
    ErrorCode,
    GetAudit,
    GetHistory,
    History,
    Keep,
    Kept,
    Plan,
    Retuned,
    SetBudget,
    SetPolicy,
    SetSLO,
    Undo,
)
from sarathid.protocol.revisions import AuditEntry, AuditEvent, Revision, RevisionState
from sarathid.protocol.slo import BudgetMode, SLOChange
from sarathid.scheduler.policies.registry import POLICIES
from tests.sarathictl.records import make_settings
from tests.sarathictl.stub_daemon import StubDaemon

AT_S = 1_790_000_000.0
MEASURED = Figures(window_s=300.0, tbt_p99_s=0.095, ttft_p50_s=0.4, ttft_p95_s=0.79, tokens_per_s=1167.4)


def make_revision(state: RevisionState = RevisionState.ON_PROBATION, verdict: str = "", **fields: Any) -> Revision:
    revision = Revision(
        revision=2,
        time_s=AT_S,
        iteration=88390,
        changed_by="0/17/bash",
        reason="stalls\x1b[2J",
        origin=ChangeOrigin.ASKED,
        old=make_settings(),
        new=make_settings(512, revision=2),
        state=state,
        verdict=verdict,
    )
    return msgspec.structs.replace(revision, **fields)


def retuned(op: ControlRequest) -> Retuned:
    iteration = None if getattr(op, "dry_run", False) else 88390
    return Retuned(old=make_settings(), new=make_settings(512, revision=2), iteration=iteration)


def refuse(code: ErrorCode, message: str = "no") -> Callable[[ControlRequest], Any]:
    def answer(op: ControlRequest) -> Any:
        raise ControlRefused(code, message, "do something else")

    return answer


@pytest.fixture
def daemon(tmp_path: Path, utc: None) -> Iterator[StubDaemon]:
    answers: dict[type[ControlRequest], Callable[[Any], Any]] = {
        **dict.fromkeys((SetBudget, SetPolicy, SetSLO, Undo), retuned),
        Keep: lambda op: Kept(revision=op.revision or 7),
        GetHistory: lambda op: History(revisions=(make_revision(RevisionState.KEPT),)),
    }
    with StubDaemon(tmp_path, answers) as daemon:
        yield daemon


@pytest.mark.parametrize(
    ("command", "op"),
    [
        (("set-budget", "512"), SetBudget(budget=512)),
        (("set-policy", "prefill-first"), SetPolicy(policy="prefill-first")),
        (("set-slo", "tbt=0.1s", "ttft=off"), SetSLO(slo=SLOChange(tbt_s=0.1, ttft_s=None))),
        (("undo", "7", "--yes"), Undo(revision=7, force=True)),
        (("undo",), Undo()),
    ],
)
def test_every_change_takes_the_same_terms(
    daemon: StubDaemon, sarathictl: Any, command: tuple[str, ...], op: ControlRequest
) -> None:
    terms = ("--if-rev", "6", "--confirm", "60s", "--guard", "tbt.p99 < 120ms", "-m", "try it", "--dry-run")
    assert sarathictl(*command).code == 0
    assert sarathictl(*command, *terms).code == 0

    asked = {"if_revision": 6, "confirm_s": 60.0, "guard": "tbt.p99 < 120ms", "reason": "try it", "dry_run": True}
    sent = [change for change in daemon.asked if not isinstance(change, Plan)]
    assert sent == [msgspec.structs.replace(op, id=1), msgspec.structs.replace(op, id=1, **asked)]


@pytest.mark.parametrize("targets", [("tbt=100ms", "tbt=200ms"), ("tbt=100ms", "ttft=2s", "tbt.p99=off")])
def test_a_target_with_two_values_is_sent_with_neither(
    daemon: StubDaemon, sarathictl: Any, targets: tuple[str, ...]
) -> None:
    outcome = sarathictl("set-slo", *targets)

    assert (outcome.code, daemon.asked) == (2, [])
    assert "names a target twice" in outcome.err


def test_a_dry_run_says_what_would_change(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("set-budget", "512", "--dry-run", "--wait")

    assert (outcome.code, outcome.out) == (0, "would change: token budget 128 -> 512 (revision 2)\n")


def test_a_dry_run_gives_no_number_that_only_the_engine_can_choose(daemon: StubDaemon, sarathictl: Any) -> None:
    profiled = msgspec.structs.replace(make_settings(128, revision=2), budget_mode=BudgetMode.PROFILED)
    daemon.answers[SetBudget] = lambda op: Retuned(old=make_settings(512), new=profiled, iteration=None)
    outcome = sarathictl("set-budget", "profiled", "--dry-run")

    assert outcome.out == "would change: token budget 512 -> profiled (revision 2)\n"


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (ErrorCode.CONFLICT, 6),
        (ErrorCode.GUARD, 7),
        (ErrorCode.OUT_OF_RANGE, 7),
        (ErrorCode.NOT_PERMITTED, 5),
        (ErrorCode.NOT_FOUND, 4),
        (ErrorCode.MALFORMED, 2),
    ],
)
def test_a_refusal_has_its_own_exit_code(daemon: StubDaemon, sarathictl: Any, code: ErrorCode, exit_code: int) -> None:
    daemon.answers[Undo] = refuse(code, "not now")
    outcome = sarathictl("undo")

    assert (outcome.code, outcome.out) == (exit_code, "")
    assert outcome.err == "sarathictl: not now\ndo something else\n"


def test_the_help_names_every_policy(sarathictl: Any) -> None:
    words = "".join(sarathictl("set-policy", "--help").out.split())

    assert [name for name in POLICIES if name not in words] == []


@pytest.mark.parametrize("arguments", [("set-budget", str(1 << 64)), ("why", str(1 << 64))])
def test_a_number_that_no_message_can_hold_is_a_mistake_of_usage(
    daemon: StubDaemon, sarathictl: Any, arguments: tuple[str, ...]
) -> None:
    outcome = sarathictl(*arguments)

    assert outcome.code == 2
    assert outcome.err == "sarathictl: a number is larger than any that the daemon can be sent\n"


def test_a_reason_that_a_terminal_might_obey_is_never_sent(daemon: StubDaemon, sarathictl: Any) -> None:
    assert sarathictl("set-budget", "512", "-m", "a\x1b[2J").code == 2
    assert daemon.asked == []


@pytest.mark.parametrize(
    ("state", "exit_code", "words"),
    [
        (RevisionState.KEPT, 0, "revision 2 kept"),
        (RevisionState.REPLACED, 0, "revision 2 replaced: as I say"),
        (RevisionState.GUARDED, 9, "revision 2 taken back: as I say"),
        (RevisionState.EXPIRED, 9, "revision 2 taken back: as I say"),
        (RevisionState.UNDONE, 9, "revision 2 undone: as I say"),
    ],
)
def test_waiting_ends_with_what_became_of_the_change(
    daemon: StubDaemon,
    sarathictl: Any,
    monkeypatch: pytest.MonkeyPatch,
    state: RevisionState,
    exit_code: int,
    words: str,
) -> None:
    monkeypatch.setattr(change, "POLL_S", 0.0)
    verdict = "" if state is RevisionState.KEPT else "as I say"
    looks = iter([make_revision(), make_revision(), make_revision(state, verdict)])
    daemon.answers[GetHistory] = lambda op: History(revisions=(next(looks),))
    outcome = sarathictl("set-budget", "512", "--confirm", "60s", "--wait")

    assert (outcome.code, outcome.out) == (exit_code, f"{words}\n")
    assert "token budget 128 -> 512" in outcome.err
    assert daemon.asked[-1] == GetHistory(id=4, since_revision=2)


def test_waiting_for_a_change_that_the_daemon_has_forgotten_ends(daemon: StubDaemon, sarathictl: Any) -> None:
    daemon.answers[GetHistory] = lambda op: History(revisions=())

    assert sarathictl("set-budget", "512", "--wait").code == 4


def test_waiting_as_json_is_one_object_with_the_outcome(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("set-budget", "512", "--wait", "--json")

    assert (outcome.json["revision"], outcome.json["state"]) == (2, "kept")


def test_keep_names_what_it_kept(daemon: StubDaemon, sarathictl: Any) -> None:
    assert sarathictl("keep").out == "kept revision 7\n"
    assert sarathictl("keep", "3").out == "kept revision 3\n"


def test_the_history_is_a_line_a_revision_and_no_terminal_obeys_it(daemon: StubDaemon, sarathictl: Any) -> None:
    start = make_settings()
    first = make_revision(RevisionState.KEPT, revision=1, changed_by="", reason="", old=start, new=start)
    second = make_revision(RevisionState.GUARDED, "tbt.p99 < 120ms fails: 268 ms")
    daemon.answers[GetHistory] = lambda op: History(revisions=(first, second))
    outcome = sarathictl("history")

    assert outcome.out.splitlines() == [
        "r1  2026-09-21 14:13:20  token budget 128, policy stall-free, TBT target 100 ms, TTFT target 2 s  [kept]",
        "r2  2026-09-21 14:13:20  token budget 128 -> 512 by 0/17/bash: stalls·[2J  "
        "[taken back: tbt.p99 < 120ms fails: 268 ms]",
    ]
    assert sarathictl("history", "--json").json["revisions"][1]["state"] == "guarded"


def test_the_audit_log_tells_what_was_expected_and_measured(daemon: StubDaemon, sarathictl: Any) -> None:
    revision = make_revision(RevisionState.KEPT, reason="try it", measured=MEASURED, predicted=MEASURED)
    entries = tuple(AuditEntry(time_s=AT_S, event=event, by="0/1/me", revision=revision) for event in AuditEvent)
    daemon.answers[GetAudit] = lambda op: AuditTrail(entries=entries, num_left_out=3)
    outcome = sarathictl("audit", "--since", "1h", "--by", "0")

    figures = "TBT p99 95 ms, TTFT p50 400 ms p95 790 ms, 1167 tokens/s over 5 m 00 s"
    assert outcome.out.splitlines() == [
        "2026-09-21 14:13:20  r2  began: token budget 512, policy stall-free, TBT target 100 ms, TTFT target 2 s",
        "2026-09-21 14:13:20  r2  token budget 128 -> 512 by 0/17/bash: try it",
        "2026-09-21 14:13:20  r2  kept by 0/1/me",
        f"2026-09-21 14:13:20  r2  expected {figures}; measured {figures}",
    ]
    assert outcome.err == "3 older entries are left out; narrow it with --since or --by\n"
    (asked,) = daemon.asked
    assert isinstance(asked, GetAudit)
    assert asked.by == "0"
    assert asked.since_s > 0.0
