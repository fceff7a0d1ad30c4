"""Daemons held against each other."""

import msgspec

from sarathictl.state.fleet import FIGURES, Cell, cell_of, figures_for, median_words
from sarathid.protocol.control import Status
from tests.sarathictl.records import make_settings, make_status

TBT, IN_TIME, *_ = FIGURES
WAIT = next(figure for figure in FIGURES if figure.heading == "WAIT")


def waiting(num_waiting: int) -> Status:
    return msgspec.structs.replace(make_status(), num_waiting=num_waiting)


def test_a_figure_far_above_the_others_is_odd() -> None:
    assert cell_of(WAIT, waiting(7), [waiting(2), waiting(3)]) == Cell("7", is_odd=True)
    assert cell_of(WAIT, waiting(3), [waiting(2), waiting(3)]) == Cell("3")


def test_two_daemons_are_too_few_to_say_which_is_odd() -> None:
    assert cell_of(WAIT, waiting(9), [waiting(1)]) == Cell("9")


def test_a_figure_above_its_own_target_is_bad() -> None:
    assert cell_of(TBT, make_status(make_settings(tbt_s=0.05)), []) == Cell("95 ms", is_bad=True)
    assert cell_of(TBT, make_status(make_settings(tbt_s=None)), []) == Cell("95 ms")


def test_the_median_is_a_daemons_own_figure() -> None:
    assert median_words(WAIT, [waiting(1), waiting(9), waiting(2)]) == "2"
    budget = next(figure for figure in FIGURES if figure.heading == "BUDGET")
    assert median_words(budget, [waiting(1)]) == ""


def test_who_is_late_seldom_enough_is_in_time() -> None:
    status = msgspec.structs.replace(make_status(make_settings(tbt_s=0.1)), num_late=1)
    assert cell_of(IN_TIME, status, []) == Cell("99 %")
    assert cell_of(IN_TIME, make_status(make_settings(tbt_s=None)), []) == Cell("—")


def test_stalls_are_those_of_the_minute_that_all_figures_are_of() -> None:
    stalls = next(figure for figure in FIGURES if figure.heading == "STALLS")
    old = msgspec.structs.replace(make_status(), num_stalls=400, num_late=2)
    new = msgspec.structs.replace(make_status(), num_stalls=2, num_late=2)
    assert cell_of(stalls, old, [new, new]) == Cell("2")


def test_what_matters_least_gives_way_where_it_is_narrow() -> None:
    assert figures_for(100) == list(FIGURES)
    assert [figure.heading for figure in figures_for(26)] == ["TBT p99", "RUN", "WAIT", "KV"]
    assert [figure.heading for figure in figures_for(1)] == ["TBT p99"]
