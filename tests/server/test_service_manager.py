"""What systemd would read, from real datagram sockets."""

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sarathid.protocol.control import DaemonState
from sarathid.server.service_manager import ServiceManager


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(10.0)
        yield manager


@pytest.mark.parametrize("is_abstract", [False, True])
def test_states_are_told_at_a_path_or_an_abstract_name(tmp_path: Path, is_abstract: bool) -> None:
    name = f"sarathid-test-{uuid.uuid4()}" if is_abstract else os.fspath(tmp_path / "notify")
    with listening("\0" + name if is_abstract else name) as manager:
        service = ServiceManager({"NOTIFY_SOCKET": "@" + name if is_abstract else name})
        service.tell(DaemonState.READY, "ready in 1 s")
        service.tell_reloading()
        service.tell(DaemonState.RESTARTING, "the engine is gone")
        service.tell(DaemonState.DRAINING, "draining")
        told = [manager.recv(1024).decode().splitlines() for _ in range(4)]
    assert told[0] == ["READY=1", "STATUS=ready in 1 s"]
    assert told[1][0] == "RELOADING=1"
    assert told[1][1].removeprefix("MONOTONIC_USEC=").isdecimal()
    assert told[2:] == [["STATUS=the engine is gone"], ["STOPPING=1", "STATUS=draining"]]


def test_the_event_loop_beats_for_the_watchdog(tmp_path: Path) -> None:
    async def main() -> list[bytes]:
        environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000", "WATCHDOG_PID": str(os.getpid())}
        beating = asyncio.create_task(ServiceManager(environment).beat())
        beats = [await asyncio.to_thread(manager.recv, 1024) for _ in range(3)]
        beating.cancel()
        return beats

    address = os.fspath(tmp_path / "notify")
    with listening(address) as manager:
        assert asyncio.run(main()) == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_a_watchdog_is_one_that_asks_this_process(environment: dict[str, str], watchdog_s: float | None) -> None:
    assert ServiceManager(environment).watchdog_s == watchdog_s


def test_a_manager_that_is_gone_is_told_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ServiceManager({"NOTIFY_SOCKET": os.fspath(tmp_path / "gone")}).tell(DaemonState.READY, "ready")
    assert "is not told READY=1" in caplog.text
