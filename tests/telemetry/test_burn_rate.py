"""Burn rates over several windows."""

import msgspec
import pytest

from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import FirstToken, SettingsChanged, StallCause, TokenGap
from sarathid.telemetry.board import Board
from sarathid.telemetry.burn_rate import BurnRates
from tests.factories import make_iteration
from tests.telemetry.test_board import make_stall

HOUR_S = 3600.0


def test_a_fast_burn_shows_in_the_short_window_first_and_leaves_it_first() -> None:
    burn = BurnRates()
    for minute in range(120):
        burn.count("tbt", 60.0 * minute, 1000, 0)
    for minute in range(120, 125):
        burn.count("tbt", 60.0 * minute, 1000, 200)

    soon = burn.rates("tbt", 60.0 * 124)
    assert soon["5m"] == pytest.approx(20.0)
    assert soon["1h"] == pytest.approx(20.0 * 5 / 60)
    assert soon["6h"] == pytest.approx(20.0 * 5 / 125)
    for minute in range(125, 140):
        burn.count("tbt", 60.0 * minute, 1000, 0)
    later = burn.rates("tbt", 60.0 * 139)
    assert later["5m"] == 0.0
    assert later["1h"] == pytest.approx(soon["1h"])


def test_a_window_in_which_nothing_happened_has_no_rate() -> None:
    burn = BurnRates()
    burn.count("ttft", 0.0, 10, 1)
    assert burn.rates("ttft", 10.0)["5m"] == pytest.approx(2.0)
    assert burn.rates("ttft", 2 * HOUR_S).keys() == {"6h"}
    assert burn.rates("tbt", 10.0) == {}


def test_what_is_remembered_is_bounded() -> None:
    burn = BurnRates()
    for minute in range(10_000):
        burn.count("tbt", 60.0 * minute, 1, 0)
    assert len(burn._slices) <= 361
    assert burn.num_events["tbt"] == 10_000


def test_a_board_counts_against_the_targets_that_are_in_force() -> None:
    board = Board()
    board.observe(make_iteration(0, gaps=(TokenGap(1, 9.0),), first_tokens=(FirstToken(2, 9.0),)))
    assert not board.burn_rates.num_events
    slo = SLO(tbt_s=0.1, ttft_s=1.0)
    board.observe(SettingsChanged(time_s=0.0, iteration=1, revision=1, token_budget=64, policy="stall-free", slo=slo))
    board.observe(make_iteration(1, gaps=(TokenGap(1, 0.5), TokenGap(3, 0.01)), first_tokens=(FirstToken(2, 9.0),)))
    board.observe(make_stall(StallCause.PREFILL, 1))
    board.observe(msgspec.structs.replace(make_stall(StallCause.EVENT_LOOP, 1), is_delivery=True))
    board.observe(make_stall(StallCause.RESTART, 1))

    assert board.burn_rates.num_events == {"tbt": 3, "ttft": 1}
    assert board.burn_rates.num_misses == {"tbt": 2, "ttft": 1}
