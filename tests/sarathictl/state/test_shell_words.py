"""What is done in the console, as commands."""

import pytest

from sarathictl.state.shell_words import command_of
from sarathid.protocol.control import Cancel, ControlRequest, Keep, SetBudget, SetPolicy, SetSLO, Undo
from sarathid.protocol.slo import SLOChange


@pytest.mark.parametrize(
    ("op", "command"),
    [
        (SetBudget(budget=384), "set-budget 384"),
        (
            SetBudget(budget="auto", if_revision=7, confirm_s=60.0, guard="tbt.p99 < 120ms", reason="it's late"),
            "set-budget auto --if-rev 7 --confirm 60s --guard 'tbt.p99 < 120ms' -m 'it'\"'\"'s late'",
        ),
        (SetPolicy(policy="prefill-first"), "set-policy prefill-first"),
        (SetSLO(slo=SLOChange(tbt_s=0.1, ttft_s=None)), "set-slo tbt=100ms ttft=off"),
        (SetSLO(slo=SLOChange(ttft_s=1.5)), "set-slo ttft=1.5s"),
        (Undo(), "undo"),
        (Undo(revision=3), "undo 3"),
        (Keep(revision=4), "keep 4"),
        (Cancel(request_id=17), "cancel 17"),
    ],
)
def test_a_change_is_the_command_that_makes_it(op: ControlRequest, command: str) -> None:
    assert command_of(op) == command
