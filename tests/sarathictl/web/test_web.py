"""The console in a browser: who is let in, what they see, and that they can only look."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from sarathictl.web.address import read_port
from sarathid.errors import ConfigError
from sarathid.protocol.control import GetSnapshot, Snapshot
from sarathid.protocol.stats import IterationStats
from tests.sarathictl.records import START_S, PaperEngine, make_settings, make_snapshot
from tests.sarathictl.stub_daemon import StubDaemon

pytest.importorskip("textual_serve")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[StubDaemon]:
    records = PaperEngine(make_settings(256)).run(START_S + 4.0)
    iterations = tuple(record for record in records if isinstance(record, IterationStats))

    def answer(op: GetSnapshot) -> Snapshot:
        return make_snapshot(make_settings(256), iterations=iterations)

    with StubDaemon(tmp_path, {GetSnapshot: answer}) as stub:
        yield stub


@pytest.fixture
def server(daemon: StubDaemon, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Serve the console from an empty directory."""
    empty = tmp_path / "empty"
    empty.mkdir()
    words = [sys.executable, "-m", "sarathictl", "-A", str(tmp_path), "top", "--web", str(free_port())]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=empty) as process:
        yield process
        process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def address_of(server: "subprocess.Popen[str]") -> str:
    """Return the address that it says lets one in."""
    assert server.stderr is not None
    found = re.match(r"http://\S+", server.stderr.readline())
    assert found is not None
    return found[0]


def session() -> aiohttp.ClientSession:
    """Return what keeps cookies as a browser does, those of a numeric host too."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


async def seen(socket: Any, words: str) -> str:
    """Return what was drawn until some words were."""
    drawn = ""
    async with asyncio.timeout(30.0):
        while words not in drawn:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.BINARY, message
            drawn += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", message.data.decode(errors="replace"))
    return drawn


def test_who_has_the_address_sees_the_console_and_can_only_look(server: "subprocess.Popen[str]") -> None:
    asyncio.run(look(server, address_of(server)))
    assert list(Path(psutil.Process(server.pid).cwd()).iterdir()) == []
    server.send_signal(signal.SIGINT)
    assert server.wait(30.0) == 0


async def look(server: "subprocess.Popen[str]", address: str) -> None:
    home = address.partition("?")[0]
    async with session() as browser:
        async with browser.get(address) as page:
            assert (page.status, str(page.url)) == (200, home)
            assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
        async with browser.ws_connect(f"{home}ws?width=120&height=36") as terminal:
            await seen(terminal, "ITERATIONS")
            for key in ("r", "e", "b", "?"):
                await terminal.send_json(["stdin", key])
            shown = await seen(terminal, "esc closes")
            assert "TOKEN BUDGET" not in shown
            (viewer,) = psutil.Process(server.pid).children()
            assert "--read-only" in " ".join(viewer.cmdline())
        psutil.wait_procs([viewer], timeout=30.0)
        assert not viewer.is_running()


def test_nobody_else_is_let_in(server: "subprocess.Popen[str]") -> None:
    asyncio.run(try_to_look(address_of(server)))


async def try_to_look(address: str) -> None:
    home, _, token = address.partition("?")
    async with session() as stranger:
        for path, headers in (
            ("", {}),
            ("ws", {}),
            ("static/js/textual.js", {}),
            ("?token=guessed", {}),
            (f"?{token}", {"Host": "rebound.example"}),
            (f"?{token}", {"Origin": "http://elsewhere.example"}),
        ):
            async with stranger.get(f"{home}{path}", headers=headers) as refused:
                assert refused.status == 403, path
    async with session() as browser:
        async with browser.get(address) as page:
            assert page.status == 200
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await browser.ws_connect(f"{home}ws", headers={"Origin": "http://elsewhere.example"})


@pytest.mark.parametrize(("text", "port"), [("8022", 8022), ("127.0.0.1:80", 80), ("localhost:65535", 65535)])
def test_an_address_is_a_port_of_this_machine(text: str, port: int) -> None:
    assert read_port(text) == port


@pytest.mark.parametrize("text", ["", "0", "65536", "0.0.0.0:8022", "host:8022", "8022x", "[::]:8022"])
def test_no_other_address_is_served(text: str) -> None:
    with pytest.raises(ConfigError, match="ssh -L"):
        read_port(text)


def test_without_the_extra_it_says_which(sarathictl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sarathictl.web.view", None)
    outcome = sarathictl("top", "--web", "8022")
    assert outcome.code == 2
    assert "pip install 'sarathid[web]'" in outcome.err


def test_a_port_that_is_taken_is_said(daemon: StubDaemon, sarathictl: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        outcome = sarathictl("top", "--web", str(other.getsockname()[1]))
    assert outcome.code == 2
    assert "nothing can be served at port" in outcome.err
