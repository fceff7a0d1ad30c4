"""A benchmark is named as a command or as an option."""

import sys

import pytest

from sarathictl.cli import main


@pytest.mark.parametrize("words", ["bench capacity", "bench --capacity", "bench --interference"])
def test_a_benchmark_may_be_named_with_dashes(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sarathictl", *words.split(), "--help"])
    with pytest.raises(SystemExit) as ended:
        main()

    assert not ended.value.code
    assert capsys.readouterr().out.startswith(f"Usage: sarathictl {words.replace('--', '')} [OPTIONS]")


def test_another_option_is_still_unknown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["sarathictl", "bench", "--latency"])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert capsys.readouterr().err == "sarathictl: No such option: --latency; see sarathictl bench --help\n"
