import logging
from pathlib import Path

import pytest

from sarathid.telemetry.burn_rate import BurnRates
from sarathid.telemetry.kept_burn_rates import FILE_NAME, KeptBurnRates

BOOT_S = 1.7e9


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state" / "run"


def test_rates_go_on_where_an_earlier_daemon_left_them_by_the_wall_clock(place: Path) -> None:
    burn = BurnRates()
    for minute in range(30):
        burn.count("tbt", 60.0 * minute, 1000, 20 if minute >= 25 else 0)
    KeptBurnRates(place, burn, BOOT_S).write()

    after, now_s = BurnRates(), 5000.0  # the machine's clock has other zeros: 200 s have passed since
    KeptBurnRates(place, after, BOOT_S + 29 * 60.0 + 200.0 - now_s).read(now_s)
    assert after.rates("tbt", now_s)["1h"] == pytest.approx(burn.rates("tbt", 29 * 60.0)["1h"])
    after.count("tbt", now_s, 30_000, 0)
    assert after.rates("tbt", now_s)["1h"] == pytest.approx(burn.rates("tbt", 29 * 60.0)["1h"] / 2)
    assert after.num_events == {"tbt": 30_000}, "counters begin anew, as Prometheus has it"


def test_minutes_that_are_yet_to_come_are_not_believed(place: Path) -> None:
    burn = BurnRates()
    burn.count("tbt", 7200.0, 10, 10)
    KeptBurnRates(place, burn, BOOT_S).write()
    after = BurnRates()
    KeptBurnRates(place, after, BOOT_S).read(3600.0)

    assert after.slices == []


@pytest.mark.parametrize("content", [b"", b"{}", b'[{"time_s": 0, "events": {"tbt": -1}, "misses": {}}]', b"\xff"])
def test_a_broken_file_is_told_of_and_nothing_else(
    place: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    place.mkdir(parents=True)
    (place / FILE_NAME).write_bytes(content)
    burn = BurnRates()
    with caplog.at_level(logging.WARNING):
        KeptBurnRates(place, burn, BOOT_S).read(0.0)

    assert burn.slices == []
    assert "are ignored" in caplog.text


def test_a_directory_that_can_not_be_written_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").touch()
    kept = KeptBurnRates(tmp_path / "state" / "run", BurnRates(), BOOT_S)
    with caplog.at_level(logging.WARNING):
        kept.write()
        kept.write()

    assert caplog.text.count("can't be kept") == 1
