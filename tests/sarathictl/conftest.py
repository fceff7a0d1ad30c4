"""What the console's tests share: wall clocks that read the same everywhere, and calls of the program."""

import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sarathictl.cli import main


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Outcome:
    """What one call printed and ended with."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def sarathictl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("SARATHID_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["sarathictl", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Outcome(ended.value.code if isinstance(ended.value.code, int) else 0, printed.out, printed.err)

    return call
