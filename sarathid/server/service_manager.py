"""Tells the service manager that started the daemon how it is: the protocol of sd_notify(3)."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping

from sarathid.protocol.control import DaemonState

BEATS_A_TIMEOUT = 3  # sd_watchdog_enabled(3) advises two or more
_NEWS = {DaemonState.READY: ("READY=1",), DaemonState.DRAINING: ("STOPPING=1",)}

log = logging.getLogger(__name__)


class ServiceManager:
    """Sends datagrams to `$NOTIFY_SOCKET`, a path or an abstract name; without one it says nothing.

    A manager that does not listen is told nothing either: serving goes on.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read what the manager asks for: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`."""
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = _watchdog_s(environment)

    def tell(self, state: DaemonState, reason: str) -> None:
        """Say how the daemon is, in words too; `READY` also ends what `tell_reloading` began."""
        self._send(*_NEWS.get(state, ()), f"STATUS={reason}")

    def tell_reloading(self) -> None:
        """Say that the configuration is being read again."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    async def beat(self) -> None:
        """Say that the event loop lives, as often as the manager wants to hear it, until cancelled."""
        while self.watchdog_s is not None:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / BEATS_A_TIMEOUT)
        await asyncio.Event().wait()

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.setblocking(False)
                manager.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("the service manager is not told %s: %s", lines[0], error)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Return within how many seconds the manager wants to hear of this process; None where it does not ask."""
    microseconds, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    is_asked = microseconds.isdecimal() and int(microseconds) > 0 and pid in ("", str(os.getpid()))
    return int(microseconds) / 1e6 if is_asked else None
