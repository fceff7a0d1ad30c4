"""When an operator is told that a figure is above its threshold."""

from dataclasses import replace

import pytest

from sarathictl.state.alerts import Alert, AlertWatch, Rule, read_rules
from sarathictl.state.engine_state import EngineState
from sarathictl.state.engine_view import EngineView
from sarathid.errors import ConfigError
from tests.sarathictl.records import START_S, PaperEngine, make_settings, make_snapshot


def make_view() -> EngineView:
    state = EngineState.from_snapshot(make_snapshot(make_settings(256)), START_S)
    for record in PaperEngine(make_settings(256)).run(START_S + 8.0):
        state.fold(record)
    return state.view(START_S + 8.0)


VIEW = make_view()


def test_an_alert_is_told_once_and_again_only_after_its_figure_was_below() -> None:
    watch = AlertWatch(read_rules(["wait>3"]))
    looks = [watch.look(replace(VIEW, num_waiting=number, now_s=float(number))) for number in (2, 5, 7, 3, 9)]
    assert looks == [[], [Alert("wait", 5.0, 3.0, 5.0)], [], [], [Alert("wait", 9.0, 3.0, 9.0)]]
    assert watch.raised == (Alert("wait", 9.0, 3.0, 9.0),)


def test_an_alert_that_lasts_shows_the_figure_of_now_and_when_it_began() -> None:
    watch = AlertWatch(read_rules(["wait>3"]))
    watch.look(replace(VIEW, num_waiting=5, now_s=10.0))
    watch.look(replace(VIEW, num_waiting=8, now_s=20.0))
    assert watch.raised == (Alert("wait", 8.0, 3.0, 10.0),)


def test_without_rules_the_targets_are_the_thresholds() -> None:
    (tbt, ttft) = AlertWatch().look(VIEW)
    assert (tbt.words, ttft.words) == ("tbt.p99 323 ms > 100 ms", "ttft.p95 2.62 s > 2 s")
    assert AlertWatch().look(replace(VIEW, settings=make_settings(tbt_s=None))) == [ttft]


def test_thresholds_are_read_with_their_units() -> None:
    assert read_rules(["tbt.p99>120ms", "kv > 90%", "stall>1s", "preempted>0"]) == [
        Rule("tbt.p99", 0.12),
        Rule("kv", 0.9),
        Rule("stall", 1.0),
        Rule("preempted", 0.0),
    ]


@pytest.mark.parametrize("text", ["", "tbt.p99", "speed>1", "kv>0.9", "kv>190%", "wait>x", "tbt.p99>100", "wait>-1"])
def test_a_threshold_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_rules([text])
