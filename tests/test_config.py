import pytest

from sarathid.config import EngineConfig, build, parse_duration_s, resolve_target_s
from sarathid.errors import ConfigError


@pytest.mark.parametrize(("text", "seconds"), [("100ms", 0.1), ("2s", 2.0), ("1.5m", 90.0), ("0.25", 0.25)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "ms", "-1s", "0", "nan", "inf", "1h", "2sm", "1e9s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_duration_s(text)


def test_a_target_is_a_duration_or_a_multiple_of_the_isolated_decode() -> None:
    assert resolve_target_s("5x", 0.06) == pytest.approx(0.3)
    assert resolve_target_s("80ms", 0.06) == pytest.approx(0.08)


@pytest.mark.parametrize("text", ["x", "0x", "-5x", "nanx", "1e9x"])
def test_what_is_no_multiple_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        resolve_target_s(text, 0.06)


def test_a_bad_field_is_named() -> None:
    with pytest.raises(ConfigError, match="max_num_seqs"):
        build(EngineConfig, {"max_num_seqs": 0})
    with pytest.raises(ConfigError, match="budget"):
        build(EngineConfig, {"budget": 3})
