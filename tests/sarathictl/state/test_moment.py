"""Moments as somebody writes them."""

import pytest

from sarathictl.state.moment import read_moment
from sarathid.errors import ConfigError

NOON_S = 1_700_049_600.0  # 2023-11-15 12:00:00 UTC

pytestmark = pytest.mark.usefixtures("utc")


@pytest.mark.parametrize(
    ("text", "before_noon_s"),
    [("11:59:58.5", 1.5), ("11:30", 1800.0), ("12:00:00", 0.0), (" -90s ", 90.0), ("12:00:01", 86_399.0)],
)
def test_a_moment_is_the_last_such_one(text: str, before_noon_s: float) -> None:
    assert read_moment(text, NOON_S) == NOON_S - before_noon_s


@pytest.mark.parametrize("text", ["", "25:00", "12:60", "90", "-90", "now", "-2d"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_moment(text, NOON_S)
