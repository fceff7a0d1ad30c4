"""`top` where nothing moves: one picture as text, JSON or SVG."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sarathictl.cli import main
from sarathid.protocol.control import GetSnapshot, Snapshot
from sarathid.protocol.stats import Heartbeat, IterationStats
from tests.sarathictl.records import START_S, PaperEngine, make_settings, make_snapshot
from tests.sarathictl.stub_daemon import StubDaemon


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[StubDaemon]:
    records = PaperEngine(make_settings(256)).run(START_S + 4.0)
    iterations = tuple(record for record in records if isinstance(record, IterationStats))
    snapshot = make_snapshot(make_settings(256), iterations=iterations)

    def answer(op: GetSnapshot) -> Snapshot:
        stub.publish(Heartbeat(time_s=START_S, state="ready"))
        return snapshot

    with StubDaemon(tmp_path, {GetSnapshot: answer}) as stub:
        yield stub


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sarathictl", "-A", str(tmp_path), "top", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code if isinstance(ended.value.code, int) else 0, printed.out, printed.err

    return call


def test_one_picture_is_printed_where_no_terminal_is(daemon: StubDaemon, top: Any) -> None:
    code, out, err = top()
    assert code == 0
    assert "ITERATIONS" in out
    assert "\x1b" not in out
    assert "no terminal" in err


def test_one_picture_has_the_size_asked_for(daemon: StubDaemon, top: Any) -> None:
    _, out, _ = top("--once", "--size", "90x24")
    assert max(map(len, out.splitlines())) == 90


def test_one_picture_as_json_has_the_figures(daemon: StubDaemon, top: Any) -> None:
    _, out, _ = top("--once", "--json")
    picture = json.loads(out)
    assert picture["schema_version"] == 1
    assert picture["settings"]["token_budget"] == 256
    assert picture["samples"][-1]["token_budget"] == 256
    assert [figures["span_s"] for figures in picture["tbt"]] == [10.0, 60.0, 300.0, 3600.0]
    assert picture["tbt"][0]["histogram"] == []


def test_one_picture_as_svg(daemon: StubDaemon, top: Any, tmp_path: Path) -> None:
    code, out, _ = top("--svg", str(tmp_path / "top.svg"), "--size", "100x30")
    assert (code, out) == (0, "")
    assert "SmolLM2" in (tmp_path / "top.svg").read_text()


def test_a_size_that_cannot_be_read_is_a_usage_error(daemon: StubDaemon, top: Any) -> None:
    assert top("--once", "--size", "large")[0] == 2


def test_top_without_a_daemon_exits_3(top: Any) -> None:
    assert top("--once")[0] == 3
