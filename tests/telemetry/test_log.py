import logging

import pytest

from sarathid.protocol.requests import FinishReason
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import SettingsChanged, StallCause
from sarathid.telemetry.log import log_record, targets_in_words
from tests.factories import make_iteration
from tests.telemetry.test_board import make_ended, make_stall

CHANGE = SettingsChanged(
    time_s=1.0,
    iteration=7,
    revision=2,
    token_budget=64,
    policy="stall-free",
    slo=SLO(tbt_s=0.1),
    changed_by="0/1/me",
    reason="try it",
)


@pytest.mark.parametrize(
    ("slo", "words"),
    [
        (SLO(), "no target"),
        (SLO(tbt_s=0.0005), "TBT P99 within 0.5 ms"),
        (SLO(tbt_s=0.1162, ttft_s=25.0), "TBT P99 within 116 ms, TTFT P95 within 25 s"),
        (SLO(ttft_s=3600.0), "TTFT P95 within 3600 s"),
    ],
)
def test_targets_are_told_in_the_units_that_an_operator_writes(slo: SLO, words: str) -> None:
    assert targets_in_words(slo) == words


def test_a_change_is_told_and_what_is_routine_only_when_asked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "sarathid")
    for record in (CHANGE, make_iteration(), make_ended(FinishReason.LENGTH), make_stall(StallCause.PREFILL, 3)):
        log_record(record)

    assert [(entry.levelname, entry.getMessage()) for entry in caplog.records] == [
        (
            "INFO",
            "revision 2 by 0/1/me: budget 64, stall-free, TBT P99 within 100 ms from iteration 7 on: try it",
        ),
        ("DEBUG", "request 1 of ?: 8 + 4 tokens, length"),
        ("DEBUG", "iteration 1: 3 requests stalled, 0.500 s at worst, for prefill"),
    ]
