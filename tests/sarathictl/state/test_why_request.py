"""A request's reasons in words."""

from typing import Any

import msgspec
import pytest

from sarathictl.state.facts import as_text
from sarathictl.state.why_request import MAX_TOLD_STALLS, explain_request
from sarathid.protocol.control import RequestState
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import Blocker, RequestStats, StallCause
from sarathid.protocol.why import KeptPromise, RequestReasons, ServiceRates, StartPromise
from tests.sarathictl.reasons import make_request_reasons, make_stall_reasons, make_wait
from tests.sarathictl.records import make_request_status

ENDED = RequestStats(
    request_id=17,
    client="web-7",
    arrival_s=10.0,
    scheduled_s=10.5,
    first_token_s=11.0,
    finished_s=20.0,
    finish_reason=FinishReason.LENGTH,
    num_prompt_tokens=311,
    num_output_tokens=320,
    num_preemptions=2,
    num_recomputed_tokens=900,
    num_stalls=1,
    tbt_p50_s=0.024,
    tbt_max_s=0.412,
)


def facts_of(found: RequestReasons) -> dict[str, str]:
    return dict(explain_request(found))


def waiting(**changed: Any) -> RequestReasons:
    return make_request_reasons(RequestState.WAITING, wait=make_wait(**changed))


def test_a_stall_is_a_sum_of_causes_with_its_culprit_and_the_budget_that_prevents_it() -> None:
    assert as_text(explain_request(make_request_reasons(stalls=(make_stall_reasons(),)))) == "\n".join(
        (
            "request    17 of web-7, decode, 188 tokens of at most 320 behind a prompt of 311, 6.2 s old",
            "TTFT       180 ms, target 2 s",
            "TBT        last 24 ms, longest 412 ms, target 100 ms; 4 stalls",
            "stall      3.2 s ago, 412 ms = 382 ms prefill + 27 ms the decode batch alone "
            "+ 2 ms the engine's own overhead + 1 ms unexplained",
            "           by 2007 tokens of request 31 (to 2007 of 7211) in iteration 88214",
            "           `set-budget 384` would have kept it within 100 ms",
            "           3 stalls before these are left out; `stalls` tells of those that are remembered",
        )
    )


def test_what_the_parts_leave_is_unexplained_even_if_nothing_is() -> None:
    reasons = make_stall_reasons()
    parts = {StallCause.PREFILL: 0.4}
    reasons = msgspec.structs.replace(reasons, stall=msgspec.structs.replace(reasons.stall, parts=parts))
    assert "= 400 ms prefill + 12 ms unexplained" in facts_of(make_request_reasons(stalls=(reasons,)))["stall"]
    whole = msgspec.structs.replace(reasons.stall, parts={StallCause.PREFILL: 0.412})
    reasons = msgspec.structs.replace(reasons, stall=whole)
    assert "= 412 ms prefill + 0 ms unexplained" in facts_of(make_request_reasons(stalls=(reasons,)))["stall"]


def test_a_victim_that_waited_less_is_told_whose_gap_was_taken_apart() -> None:
    stall = facts_of(make_request_reasons(stalls=(make_stall_reasons(tbt_s=0.3),)))["stall"]
    assert stall.startswith("3.2 s ago, 300 ms; the longest then, 412 ms of request 17, = 382 ms prefill")


def test_under_a_policy_that_runs_whole_prompts_the_policy_has_to_change_too() -> None:
    text = as_text(explain_request(make_request_reasons(stalls=(make_stall_reasons(policy="prefill-first"),))))
    assert "`set-policy stall-free` and `set-budget 384` would have kept it within 100 ms" in text
    helpless = make_stall_reasons(preventing_budget=None)
    assert "would have" not in as_text(explain_request(make_request_reasons(stalls=(helpless,))))


def test_a_wait_has_a_position_a_reason_and_a_start() -> None:
    facts = facts_of(waiting())
    assert "waiting, with a prompt of 311 tokens" in facts["request"]
    assert facts["position"] == "3 of 7 that wait, behind 44 that run"
    assert facts["blocked"] == "request 48, the first, waits for the budget: the prompts that run take all of it"
    assert facts["start"] == "in about 3.28 s: 2000 tokens of prompts come first, at 610 a second"
    assert "promised" not in facts


def test_where_owners_take_turns_it_is_told_what_each_is_owed() -> None:
    assert "turn" not in facts_of(waiting())
    wait = make_wait(deficits={"uid 1000": 40, "key web": 900, "key batch": 0})
    status = msgspec.structs.replace(make_request_status(52, RequestState.WAITING), owner="uid 1000", priority=2)
    facts = facts_of(make_request_reasons(status=status, wait=wait, stalls=()))
    assert facts["turn"] == "uid 1000 is owed 40 tokens, key web 900 tokens; who is owed most goes first"
    assert facts["priority"] == "2: behind others of uid 1000"


@pytest.mark.parametrize(
    ("blocker", "words"),
    [
        (Blocker.BLOCKS, "it needs 40; 12 are free, 5 of them promised to prompts that run and 0 kept"),
        (Blocker.SEQUENCES, "waits for a place: all 44 are taken (--max-num-seqs)"),
        (Blocker.PREEMPTION, "a running request lost its blocks"),
        (Blocker.HOLD, "the decodes alone would miss the target, at 27 ms now of 85 ms that are planned for"),
        (None, "has not been turned away: the next iteration decides"),
    ],
)
def test_what_blocks_the_first_is_told_with_numbers(blocker: Blocker | None, words: str) -> None:
    assert words in facts_of(waiting(blocked_by=blocker))["blocked"]
    assert facts_of(waiting(blocked_by=blocker, position=1))["blocked"].startswith("it ")


def test_while_no_engine_runs_everybody_waits_for_one() -> None:
    found = msgspec.structs.replace(waiting(), is_engine_ready=False)
    assert "waits for an engine: another one starts" in facts_of(found)["blocked"]


def test_where_requests_have_to_end_their_rate_or_their_limits_say_when() -> None:
    by_rate = facts_of(waiting(num_tokens_ahead=0, num_ends_ahead=2, starts_in_s=2 / 1.3))
    assert by_rate["start"] == "in about 1.54 s: 2 requests have to end, 1.3 a second did"
    by_limits = facts_of(waiting(num_tokens_ahead=0, num_ends_ahead=1, starts_in_s=0.2))
    assert by_limits["start"].endswith("1 request has to end, 1.3 a second did, but their limits of length are near")


def test_no_start_is_named_where_nothing_tells_one() -> None:
    nothing = ServiceRates(window_s=30.0, prefill_tokens_per_s=None, ends_per_s=0.0, tbt_s=None)
    facts = facts_of(waiting(rates=nothing, starts_in_s=None, promise=None, num_ends_ahead=1))
    assert facts["start"].startswith("no saying when: 2000 tokens of prompts come first, none were lately")
    at_once = facts_of(waiting(num_tokens_ahead=0, starts_in_s=0.0))
    assert at_once["start"] == "at once: nothing comes before it"


def test_an_earlier_promise_is_recalled_kept_or_overdue() -> None:
    assert facts_of(waiting(promise=StartPromise(age_s=5.0, due_s=2.0)))["promised"] == (
        "5 s ago, to start 7 s later: 2 s from now"
    )
    assert facts_of(waiting(promise=StartPromise(age_s=5.0, due_s=-2.0)))["promised"] == (
        "5 s ago, to start 3 s later: overdue by 2 s"
    )
    kept = KeptPromise(request_id=17, ahead_s=7.0, late_s=-0.4)
    assert facts_of(make_request_reasons(kept_promise=kept))["promised"] == "a start 7 s ahead; it came 400 ms early"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (RequestState.PREFILL, "prefill at 498 of 499 tokens (99 %)"),
        (RequestState.PREEMPTED, "preempted, to compute 499 tokens again"),
    ],
)
def test_a_request_says_where_it_stands(state: RequestState, words: str) -> None:
    assert words in facts_of(make_request_reasons(state))["request"]


def test_an_ended_request_is_told_from_its_record() -> None:
    found = make_request_reasons(status=None, ended=ENDED, ended_age_s=12.0)
    assert as_text(explain_request(found)) == "\n".join(
        (
            "request    17 of web-7, ended 12 s ago (length): 311 tokens of prompt, 320 tokens of answer",
            "start      after 500 ms",
            "TTFT       1 s, target 2 s",
            "TBT        P50 24 ms, longest 412 ms, target 100 ms; 1 stall",
            "preempted  2 times; 900 tokens computed again",
        )
    )
    never = msgspec.structs.replace(ENDED, scheduled_s=None, first_token_s=None, tbt_max_s=None)
    assert facts_of(msgspec.structs.replace(found, ended=never))["start"] == "it never did"


def test_of_many_stalls_the_latest_are_told_and_the_others_counted_even_if_the_daemon_forgot_them() -> None:
    stalls = (make_stall_reasons(),) * (MAX_TOLD_STALLS + 3)
    ended = msgspec.structs.replace(ENDED, num_stalls=398)
    facts = explain_request(make_request_reasons(status=None, ended=ended, ended_age_s=3.0, stalls=stalls))
    assert sum(label == "stall" for label, _ in facts) == MAX_TOLD_STALLS
    assert facts[-1] == ("", "390 stalls before these are left out; `stalls` tells of those that are remembered")
