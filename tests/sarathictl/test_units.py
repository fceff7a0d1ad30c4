"""Quantities in words, and durations that people write."""

import pytest

from sarathictl import units
from sarathid.errors import ConfigError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (0.0, "0 ms"),
        (0.00042, "0.42 ms"),
        (0.0124, "12.4 ms"),
        (0.412, "412 ms"),
        (0.9996, "1 s"),
        (1.214, "1.21 s"),
        (60.0, "60 s"),
        (125.0, "2 m 05 s"),
        (3725.0, "1 h 02 m"),
    ],
)
def test_a_duration_has_three_digits_and_a_unit(seconds: float | None, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(("text", "seconds"), [("100ms", 0.1), ("2s", 2.0), ("1.5m", 90.0), ("250us", 0.00025)])
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert units.parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5x", "ms", "-1s", "0s", "1e3s", "2 days", "inf s", "9999m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        units.parse_duration_s(text)


def test_a_share_never_rounds_the_last_stall_away() -> None:
    assert units.share(0.9999) == "99 %"
    assert units.share(1.0) == "100 %"
    assert units.share(2.5) == "250 %"


def test_a_fine_share_keeps_two_digits_however_small() -> None:
    assert [units.fine_share(part) for part in (0.0, 0.0028, 0.031, 0.14)] == ["0 %", "0.28 %", "3.1 %", "14 %"]
    assert [units.fine_share(part) for part in (0.996, 1.0, 2.5)] == ["100 %", "100 %", "250 %"]


def test_no_control_character_reaches_the_terminal() -> None:
    assert units.printable("a\x1b[31mb\n") == "a·[31mb·"
    assert units.printable_lines("a\x1b\n\tb") == "a·\n\tb"
