"""What an operator is asked before a change, how the answer is read, and on which terms it is sent."""

import pytest

from sarathictl.state.change_form import (
    ChangeForm,
    Terms,
    budget_form,
    budget_note,
    candidate_of_change,
    guard_by,
    policy_form,
    slo_form,
)
from sarathictl.state.engine_state import EngineState
from sarathid.errors import ConfigError
from sarathid.protocol.control import SetBudget, SetPolicy, SetSLO
from sarathid.protocol.plan import Candidate
from sarathid.protocol.slo import SLO, SLOChange
from tests.sarathictl.records import START_S, make_settings, make_snapshot


def form_of(make: object = budget_form) -> ChangeForm:
    assert callable(make)
    form = make(EngineState.from_snapshot(make_snapshot(make_settings(256, revision=7)), START_S).view(START_S))
    assert isinstance(form, ChangeForm)
    return form


@pytest.mark.parametrize(
    ("make", "text", "op"),
    [
        (budget_form, " 384 ", SetBudget(budget=384)),
        (budget_form, "auto", SetBudget(budget="auto")),
        (policy_form, "prefill-first", SetPolicy(policy="prefill-first")),
        (slo_form, "tbt=200ms ttft=off", SetSLO(slo=SLOChange(tbt_s=0.2, ttft_s=None))),
    ],
)
def test_each_form_reads_its_own_answers(make: object, text: str, op: object) -> None:
    assert form_of(make).read(text) == op


def test_a_form_says_what_is_in_force_and_what_is_allowed() -> None:
    form = form_of()
    assert (form.facts, form.now, form.revision) == ("now 256 (r7), 16 to 8192 allowed", "256", 7)
    assert form_of(slo_form).now == "tbt=100ms ttft=2s"


def test_the_guard_that_is_shown_holds_the_targets_in_force() -> None:
    assert form_of().guard == "tbt.p99 < 100ms and ttft.p95 < 2s"
    assert guard_by(SLO(ttft_s=1.5)) == "ttft.p95 < 1.5s"
    assert guard_by(SLO()) == "tbt.p99 < 120ms and …"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("384", "3 tiles of 128"),
        ("128", "1 tile of 128"),
        ("416", "416 costs as much as 512: 4 tiles of 128"),
        ("auto", ""),
    ],
)
def test_a_budget_is_laid_to_the_devices_tiles(text: str, note: str) -> None:
    assert budget_note(text, 128) == note
    assert budget_note(text, 1) == ""


@pytest.mark.parametrize(("text", "tokens", "stepped"), [("16", -1, "16"), ("8192", 1, "8192"), ("auto", 1, "257")])
def test_steps_stay_within_what_is_allowed(text: str, tokens: int, stepped: str) -> None:
    step = form_of().step
    assert step is not None
    assert step(text, 0, tokens) == stepped


def test_terms_are_put_on_a_change_and_empty_ones_are_none() -> None:
    op = SetBudget(budget=384)
    assert Terms().put_on(op, 7) == SetBudget(budget=384, if_revision=7)
    asked = SetBudget(budget=384, if_revision=7, confirm_s=60.0, guard="tbt.p99 < 120ms", reason="why")
    assert Terms(confirm="60s", guard=" tbt.p99 < 120ms", reason="why ").put_on(op, 7) == asked


@pytest.mark.parametrize("terms", [Terms(confirm="soon"), Terms(reason="two\nlines")])
def test_terms_that_cannot_be_read_are_a_mistake(terms: Terms) -> None:
    with pytest.raises(ConfigError):
        terms.put_on(SetBudget(budget=384), 7)


@pytest.mark.parametrize(
    ("op", "candidate"),
    [
        (SetBudget(budget=384, reason="why"), Candidate(budget=384)),
        (SetPolicy(policy="stall-free"), Candidate(policy="stall-free")),
        (SetSLO(slo=SLOChange(tbt_s=0.1)), Candidate(slo=SLOChange(tbt_s=0.1))),
    ],
)
def test_a_change_is_forecast_by_what_it_changes(op: SetBudget, candidate: Candidate) -> None:
    assert candidate_of_change(op) == candidate
