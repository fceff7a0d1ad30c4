"""The budget's reasons in words."""

import msgspec
import pytest

from sarathictl.state.facts import as_text
from sarathictl.state.why_budget import budget_now_in_words, explain_budget, main_bound
from sarathictl.state.window import sample_of
from sarathid.protocol.control import PredictionError
from sarathid.protocol.slo import SLO, BudgetMode, OverloadMode
from sarathid.protocol.stats import BudgetBound, Overload
from sarathid.protocol.why import BudgetReasons, PromiseRecord
from tests.factories import make_iteration
from tests.sarathictl.reasons import PLAN, make_budget_reasons
from tests.sarathictl.records import make_settings

OVERLOAD = Overload(
    time_s=1.0, iteration=7, is_overloaded=True, num_decodes=90, most_decodes=60, decode_s=0.15, planned_s=0.08
)


def facts_of(found: BudgetReasons) -> dict[str, str]:
    facts = explain_budget(found)
    assert len(dict(facts)) == len(facts), "every fact has a label of its own"
    return dict(facts)


def test_an_adaptive_budget_is_traced_to_the_target() -> None:
    assert as_text(explain_budget(make_budget_reasons())) == "\n".join(
        (
            "budget     612 tokens an iteration, auto: what fits into the TBT target (16 to 8192; revision 3)",
            "target     TBT P99 within 100 ms, of which 85 ms are planned for: 86 % less 1 ms of scheduling",
            "headroom   14 %: 12 of 4300 tokens late in 60 s (0.28 %, a P99 allows 1 %); late ones raise it, "
            "those in time lower it",
            "now        41 decodes take 27 ms alone (predicted, times 1.08 by what was observed); "
            "with prompts it may take 70 ms",
            "bound      of the last 100 iterations 62 by the target, 30 by nothing (no prompt wanted more), "
            "8 by use (a longer one would gain little)",
            "predicted  within 3.1 % (P50) and 12 % (P95) of what 900 iterations took in the last 60 s",
            "change     a looser target (`set-slo tbt=...`), or fewer answers at a time",
        )
    )


@pytest.mark.parametrize(
    ("mode", "slo", "words"),
    [
        (BudgetMode.FIXED, SLO(tbt_s=0.1), "an iteration, fixed (16"),
        (BudgetMode.PROFILED, SLO(tbt_s=0.1), "profiled: the most that keeps to the TBT target at the heaviest load"),
        (BudgetMode.PROFILED, SLO(), "profiled, which takes a TBT target and there is none"),
        (BudgetMode.ADAPTIVE, SLO(), "auto, with no TBT target to follow"),
    ],
)
def test_every_mode_says_where_the_number_comes_from(mode: BudgetMode, slo: SLO, words: str) -> None:
    found = make_budget_reasons(mode)
    facts = facts_of(msgspec.structs.replace(found, settings=msgspec.structs.replace(found.settings, slo=slo)))
    assert words in facts["budget"]
    assert ("target" in facts) is (slo.tbt_s is not None)


def test_before_anything_is_known_it_says_so() -> None:
    nothing = PredictionError(window_s=60.0, count=0, p50=None, p95=None)
    fresh = make_budget_reasons(
        plan=None, age_s=None, num_by_bound={}, num_tbts=0, num_late=0, prediction_error=nothing
    )
    facts = facts_of(fresh)
    assert "auto, before its first iteration" in facts["budget"]
    assert facts["target"] == "TBT P99 within 100 ms; no token in the last 60 s"
    assert "no iteration has run under these settings" in facts["change"]
    assert "too little seen" in facts_of(msgspec.structs.replace(fresh, age_s=0.1))["budget"]


def test_a_moment_long_gone_is_told_with_its_age_and_without_decodes() -> None:
    assert facts_of(make_budget_reasons(age_s=12.0))["now"].endswith("70 ms, 12 s ago")
    assert "had no decodes" in facts_of(make_budget_reasons(num_decodes=0))["now"]


def test_tiles_overload_promises_and_policies_that_do_not_cut_are_mentioned() -> None:
    found = make_budget_reasons(
        overload=OVERLOAD,
        promises=PromiseRecord(count=12, median_error_s=0.4),
        engine=msgspec.structs.replace(make_budget_reasons().engine, tile=128),
        settings=make_settings(policy="prefill-first"),
    )
    facts = facts_of(found)
    assert "in tiles of 128" in facts["budget"]
    took = "since iteration 7: 90 decodes took 150 ms alone, of 80 ms"
    assert facts["overload"] == f"{took}; 60 like them would fit; new requests wait"
    assert facts["promises"] == "of a start, the last 12: off by 400 ms in the median"
    assert facts["policy"] == "prefill-first runs whole prompts: the budget does not cut them"


@pytest.mark.parametrize(
    ("mode", "is_target_set", "words"),
    [
        (OverloadMode.AUTO, True, "new requests wait"),
        (OverloadMode.AUTO, False, "new requests are let in all the same, until somebody sets a target"),
        (OverloadMode.ADMIT, True, "new requests are let in all the same"),
        (OverloadMode.SHED, False, "new requests are refused"),
    ],
)
def test_an_overload_says_what_becomes_of_new_requests(mode: OverloadMode, is_target_set: bool, words: str) -> None:
    found = make_budget_reasons(
        overload=OVERLOAD,
        engine=msgspec.structs.replace(make_budget_reasons().engine, overload=mode),
        settings=msgspec.structs.replace(make_settings(), is_target_set=is_target_set),
    )
    assert facts_of(found)["overload"].endswith(f"; {words}")


def test_a_target_that_not_even_one_answer_meets_is_called_so() -> None:
    facts = facts_of(
        make_budget_reasons(
            num_by_bound={BudgetBound.FLOOR: 10},
            overload=Overload(
                time_s=1.0,
                iteration=7,
                is_overloaded=True,
                num_decodes=2,
                most_decodes=0,
                decode_s=0.04,
                planned_s=0.01,
            ),
        )
    )
    assert facts["overload"].endswith("not even one like them would fit; new requests wait")
    assert facts["change"] == "a looser target (`set-slo tbt=...`): one answer alone takes more than is planned for"


@pytest.mark.parametrize("bound", BudgetBound)
def test_whatever_binds_there_is_a_way_to_change_it(bound: BudgetBound) -> None:
    facts = facts_of(make_budget_reasons(num_by_bound={bound: 10}))
    assert "10 by " in facts["bound"]
    assert facts["change"]


def test_the_main_bound_is_the_most_frequent_that_bound_anything() -> None:
    assert main_bound({BudgetBound.DEMAND: 90, BudgetBound.USE: 3, BudgetBound.TARGET: 7}) is BudgetBound.TARGET
    assert main_bound({BudgetBound.DEMAND: 90}) is BudgetBound.DEMAND


def test_the_header_says_what_the_last_bound_iteration_came_to_and_why() -> None:
    settings = msgspec.structs.replace(make_settings(128), budget_mode=BudgetMode.ADAPTIVE)
    bound = msgspec.structs.replace(make_iteration(1), token_budget=612, plan=PLAN)
    idle = msgspec.structs.replace(bound, plan=msgspec.structs.replace(PLAN, bound=BudgetBound.DEMAND))
    samples = [sample_of(stats) for stats in (bound, idle)]
    assert budget_now_in_words(settings, samples) == "auto 612 (target)"
    assert budget_now_in_words(settings, samples[1:]) == "auto 612"
    assert budget_now_in_words(settings, []) == "auto"
    assert budget_now_in_words(make_settings(128), samples) == "128"
