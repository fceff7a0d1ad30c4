"""What the console does when a figure rises above its threshold."""

import json
from pathlib import Path

import pytest

from sarathictl.client.alert_command import AlertCommand
from sarathictl.client.stats_stream import Link, LinkState
from sarathictl.state.alerts import AlertWatch, read_rules
from sarathictl.tui.alerts import Alerts
from tests.sarathictl.records import START_S
from tests.sarathictl.tui.bench import Bench, until

pytestmark = pytest.mark.usefixtures("utc")


async def test_an_alert_flashes_rings_and_runs_the_command_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = AlertCommand(f"tee -a {tmp_path / 'told'}")
    bench = Bench(tmp_path, alerts=Alerts(AlertWatch(read_rules(["tbt.max>300ms"])), rings=True, command=command))
    rung: list[None] = []
    monkeypatch.setattr(bench.app, "bell", lambda: rung.append(None))
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        bench.app.tick()
        bench.app.tick()
        assert bench.says("! tbt.max 323 ms > 300 ms")
    command.close()
    assert len(rung) == 1
    (line,) = (tmp_path / "told").read_text().splitlines()
    event = json.loads(line)
    assert (event["schema_version"], event["name"], event["bound"]) == (1, "tbt.max", 0.3)
    assert event["words"] == "tbt.max 323 ms > 300 ms"
    assert event["model"] == "SmolLM2-135M-Instruct"


async def test_a_command_that_fails_is_said(tmp_path: Path) -> None:
    command = AlertCommand("false")
    bench = Bench(tmp_path, alerts=Alerts(AlertWatch(), command=command))
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        command.close()
        bench.app.tick()
        await until(pilot, lambda: any("false ended with 1" in note.message for note in bench.app._notifications))


async def test_what_a_lost_daemon_said_last_raises_no_alert(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.source.link = Link(LinkState.DOWN, START_S, "no daemon answers")
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        assert not bench.says("! tbt")
