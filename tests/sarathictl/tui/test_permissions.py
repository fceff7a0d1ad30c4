"""What may be done from here: the role that the daemon grants, lowered by --read-only, and how it shows."""

from pathlib import Path

import msgspec
import pytest

from sarathictl.tui.app import ConsoleApp
from sarathictl.tui.screens.live import LiveScreen
from sarathid.clock import VirtualClock
from sarathid.protocol.roles import Role
from tests.sarathictl.records import START_S, make_settings, make_snapshot
from tests.sarathictl.tui.bench import Bench, Operator, PostedSource, until
from tests.sarathictl.tui.screen_text import screen_text

pytestmark = pytest.mark.usefixtures("utc")

CHANGING_KEYS = ("b", "p", "o", "k", "u", "K", "f")


def make_app(granted: Role | None, limit: Role = Role.ADMIN) -> tuple[ConsoleApp, Operator]:
    source, operator = PostedSource(), Operator()
    snapshot = make_snapshot(make_settings(256))
    source.post(msgspec.structs.replace(snapshot, status=msgspec.structs.replace(snapshot.status, role=granted)))
    app = ConsoleApp(source, operator, operator, clock=VirtualClock(START_S), wall_offset_s=0.0, limit=limit)
    return app, operator


@pytest.mark.parametrize(
    ("granted", "limit", "words"),
    [
        (Role.ADMIN, Role.ADMIN, "ADMIN"),
        (Role.OPERATE, Role.ADMIN, "OPERATE"),
        (Role.READ, Role.ADMIN, "VIEW"),
        (Role.ADMIN, Role.READ, "VIEW"),
        (None, Role.READ, "VIEW"),
    ],
)
async def test_the_header_says_what_may_be_done(granted: Role | None, limit: Role, words: str) -> None:
    app, _ = make_app(granted, limit)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        assert screen_text(app).splitlines()[0].endswith(words)


@pytest.mark.parametrize(("granted", "limit"), [(Role.READ, Role.ADMIN), (Role.ADMIN, Role.READ), (None, Role.READ)])
async def test_who_may_only_read_is_shown_no_key_that_changes_anything(granted: Role | None, limit: Role) -> None:
    app, operator = make_app(granted, limit)
    async with app.run_test(size=(200, 60)) as pilot:
        await pilot.pause()
        keys = screen_text(app).splitlines()[-1]
        assert not any(word in keys for word in ("budget", "SLO", "cancel", "fix"))
        assert "q quit" in keys
        await pilot.press(*CHANGING_KEYS)
        assert isinstance(app.screen, LiveScreen)
        assert operator.asked == []


async def test_who_may_operate_is_shown_the_keys(tmp_path: Path) -> None:
    app, _ = make_app(Role.OPERATE)
    async with app.run_test(size=(200, 60)) as pilot:
        await pilot.pause()
        keys = screen_text(app).splitlines()[-1]
        assert all(word in keys for word in ("b budget", "o SLO", "K cancel", "f fix"))


async def test_y_copies_the_command_of_each_screen(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        for key, command in (
            ("1", "top"),
            ("3", "stalls"),
            ("4", "latency"),
            ("5", "history"),
            ("6", "fleet"),
            ("7", "events"),
        ):
            await pilot.press(key, "y")
            assert bench.app.clipboard == f"sarathictl {command}"
        await pilot.press("2", "s", "slash", *"state:decode", "enter", "y")
        assert bench.app.clipboard == "sarathictl requests --sort state --filter state:decode"


async def test_dialogs_copy_the_command_that_does_the_same(bench: Bench) -> None:
    async with bench.app.run_test(size=(120, 36)) as pilot:
        await pilot.press("b")
        await pilot.pause()
        await pilot.press("ctrl+y")
        await until(pilot, lambda: bench.app.clipboard != "")
        assert bench.app.clipboard == "sarathictl set-budget 256 --if-rev 1 --confirm 60s"
        await pilot.press("escape", "tab", "down", "K", "ctrl+y")
        await until(pilot, lambda: bench.app.clipboard == "sarathictl cancel 1")
