"""`sarathictl plan` and the forecasts of changes, against a daemon that only talks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sarathid.errors import ControlRefused
from sarathid.protocol.control import ControlRequest, ErrorCode, Plan, Retuned, SetBudget
from sarathid.protocol.plan import Candidate, Forecast, Planned
from sarathid.protocol.slo import SLOChange
from tests.factories import make_figures, make_planned
from tests.sarathictl.records import make_settings
from tests.sarathictl.stub_daemon import StubDaemon

FORECAST = Forecast(
    settings=msgspec.structs.replace(make_planned().current, token_budget=256),
    figures=make_figures(0.06, num_stalls=0),
)


def planned(op: Plan) -> Planned:
    return make_planned((FORECAST,) * len(op.candidates), span_s=op.last_s)


def retuned(op: SetBudget) -> Retuned:
    return Retuned(old=make_settings(), new=make_settings(256, revision=4), iteration=None if op.dry_run else 90)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[StubDaemon]:
    answers: dict[type[ControlRequest], Callable[[Any], Any]] = {Plan: planned, SetBudget: retuned}
    with StubDaemon(tmp_path, answers) as daemon:
        yield daemon


def test_every_combination_is_asked_for(daemon: StubDaemon, sarathictl: Any) -> None:
    tried = ("--budget", "256", "--budget", "auto", "--slo", "tbt=80ms,ttft=off", "--policy", "prefill-first")
    assert sarathictl("plan", "--last", "1m", *tried).code == 0

    slo = SLOChange(tbt_s=0.08, ttft_s=None)
    candidates = (
        Candidate(budget=256, slo=slo, policy="prefill-first"),
        Candidate(budget="auto", slo=slo, policy="prefill-first"),
    )
    assert daemon.asked == [Plan(id=1, last_s=60.0, candidates=candidates)]


def test_doublings_from_one_budget_to_another_are_tried(daemon: StubDaemon, sarathictl: Any) -> None:
    assert sarathictl("plan", "--budgets", "128:600", "--budget", "auto").code == 0

    (asked,) = daemon.asked
    assert isinstance(asked, Plan)
    assert [candidate.budget for candidate in asked.candidates] == ["auto", 128, 256, 512]


@pytest.mark.parametrize("text", ["128", "a:b", "512:128", "0:64", "1:65536"])
def test_budgets_that_are_no_row_of_few_are_refused(daemon: StubDaemon, sarathictl: Any, text: str) -> None:
    assert sarathictl("plan", "--budgets", text).code == 2
    assert daemon.asked == []


def test_without_candidates_only_what_happened_is_replayed(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("plan")

    assert daemon.asked == [Plan(id=1, last_s=300.0)]
    assert "observed  replayed  error\n" in outcome.out


def test_a_candidate_that_is_in_force_is_named_like_the_others(daemon: StubDaemon, sarathictl: Any) -> None:
    current = make_planned().current
    same = msgspec.structs.replace(FORECAST, settings=current)
    daemon.answers[Plan] = lambda op: make_planned((FORECAST, same))
    outcome = sarathictl("plan", "--budget", "256", "--budget", str(current.token_budget))

    (header,) = [line for line in outcome.out.splitlines() if "observed" in line]
    assert header.split("  error  ")[1].split("  ") == ["token budget 256", f"token budget {current.token_budget}"]


def test_a_plan_says_first_how_well_it_predicts_and_then_what_would_have_been(
    daemon: StubDaemon, sarathictl: Any
) -> None:
    daemon.answers[Plan] = lambda op: make_planned(
        (FORECAST,), replayed=make_figures(0.11, ttft_p99_s=0.95, num_stalls=9), num_guessed=2, num_left_out=1
    )
    outcome = sarathictl("plan", "--budget", "256")

    assert outcome.out.splitlines() == [
        "last 5 m 00 s: 40 requests, 2 of them unfinished and taken to be as long as they may be, "
        "1 left out that got no token",
        "replayed on the cost profile cpu/tiny-tp1, the device taking 1.25x its time",
        "it predicts what did happen within 10 % (TBT P99 is most off)",
        "",
        "          observed  replayed  error  token budget 256",
        "TBT P50      20 ms     20 ms    +0%             20 ms",
        "TBT P99     100 ms    110 ms   +10%             60 ms",
        "TTFT P50    500 ms    500 ms    +0%            500 ms",
        "TTFT P99       1 s    950 ms    -5%               1 s",
        "tokens/s       100       100    +0%               100",
        "stalls           7         9      —                 0",
        "targets       held      held                     held",
    ]


def test_a_plan_that_is_far_off_says_so(daemon: StubDaemon, sarathictl: Any) -> None:
    daemon.answers[Plan] = lambda op: make_planned(replayed=make_figures(0.15))

    assert "within 50 % (TBT P99 is most off): take it as a direction, not as figures" in sarathictl("plan").out


@pytest.mark.parametrize(("tbt_p99_s", "code"), [(0.19, 0), (0.21, 8)])
def test_whether_a_candidate_holds_its_targets_can_be_the_exit_code(
    daemon: StubDaemon, sarathictl: Any, tbt_p99_s: float, code: int
) -> None:
    forecast = msgspec.structs.replace(FORECAST, figures=make_figures(tbt_p99_s))
    daemon.answers[Plan] = lambda op: make_planned((forecast,))

    assert sarathictl("plan", "--budget", "256").code == 0
    assert sarathictl("plan", "--budget", "256", "--exit-code").code == code


@pytest.mark.parametrize(
    "options",
    [
        ("--last", "1h"),
        ("--budget", "much"),
        ("--slo", "tbt"),
        tuple(word for budget in range(100, 109) for word in ("--budget", str(budget))),
    ],
)
def test_what_can_never_be_planned_is_told_without_the_daemon(
    daemon: StubDaemon, sarathictl: Any, options: tuple[str, ...]
) -> None:
    assert sarathictl("plan", *options).code == 2
    assert daemon.asked == []


def test_a_plan_as_json_is_what_the_daemon_said(daemon: StubDaemon, sarathictl: Any) -> None:
    found = sarathictl("plan", "--json", "--budget", "256").json

    assert msgspec.convert(found, Planned) == make_planned((FORECAST,))


def test_a_dry_run_has_the_forecast_of_what_it_would_come_to(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("set-budget", "256", "--dry-run")

    assert outcome.out.startswith("would change: token budget 128 -> 256 (revision 4)\nlast 5 m 00 s: 40 requests\n")
    assert "token budget 256" in outcome.out.splitlines()[5]
    after = SLOChange(tbt_s=0.1, ttft_s=2.0)
    assert daemon.asked[-1] == Plan(id=1, candidates=(Candidate(budget=256, policy="stall-free", slo=after),))
    assert sarathictl("set-budget", "256", "--dry-run", "--json").json["plan"]["num_requests"] == 40


def test_a_dry_run_without_a_forecast_says_why(daemon: StubDaemon, sarathictl: Any) -> None:
    def refuse(op: Plan) -> Planned:
        raise ControlRefused(ErrorCode.UNAVAILABLE, "there is nothing to replay")

    daemon.answers[Plan] = refuse
    outcome = sarathictl("set-budget", "256", "--dry-run")

    assert (outcome.code, outcome.err) == (0, "no forecast: there is nothing to replay\n")
    assert outcome.out == "would change: token budget 128 -> 256 (revision 4)\n"
    assert sarathictl("set-budget", "256", "--dry-run", "--json").json["plan"] is None
    assert sarathictl("set-budget", "256", "--forecast").code == 7
    assert all(op.dry_run for op in daemon.asked if isinstance(op, SetBudget))


def test_a_change_with_a_forecast_notes_what_was_predicted(daemon: StubDaemon, sarathictl: Any) -> None:
    outcome = sarathictl("set-budget", "256", "--forecast", "-m", "stalls")

    assert "it predicts what did happen" in outcome.err
    assert outcome.out == "token budget 128 -> 256 (revision 4), in force from iteration 90\n"
    made = daemon.asked[-1]
    assert isinstance(made, SetBudget)
    assert (made.predicted, made.reason, made.dry_run) == (FORECAST.figures, "stalls", False)
