"""The daemon that is tested: asked without holding up who asks, and waited for until it is at rest."""

import asyncio
import re
from typing import TypeVar

from sarathictl.client.control import ControlAsk
from sarathictl.client.endpoint import Endpoint
from sarathictl.client.http_response import ResponseBody
from sarathid.errors import NotReachable, SarathiError
from sarathid.protocol.control import ControlRequest, DaemonState, GetStatus, Status
from sarathid.protocol.stats import EngineInfo

REST_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 30.0
_LOOK_EVERY_S = 0.2
_BUCKET = re.compile(r'^(\w+)_bucket\{le="([^"]+)"\} (\d+)$', re.MULTILINE)
_COUNTER = re.compile(r"^(\w+) (\d+)$", re.MULTILINE)

Reply = TypeVar("Reply")


class TestedDaemon:
    """One running daemon at `endpoint`."""

    __test__ = False  # it is no test, whatever its name begins with

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._ask = ControlAsk(endpoint, ANSWER_TIMEOUT_S)

    async def ask(self, op: ControlRequest, reply_type: type[Reply]) -> Reply:
        """Return the answer to an operation; raises as `ControlClient.request` does."""
        return await asyncio.to_thread(self._ask, op, reply_type)

    async def status(self) -> Status:
        """Return how it is now."""
        return await self.ask(GetStatus(), Status)

    async def engine(self) -> EngineInfo:
        """Return what its engine is; raises `NotReachable` before it has had one."""
        engine = (await self.status()).engine
        if engine is None:
            raise NotReachable("the daemon is not ready; wait for `sarathictl status` to say so")
        return engine

    async def rest(self) -> Status:
        """Wait until it is ready with nothing in flight; raises `SarathiError` when that does not come."""
        try:
            async with asyncio.timeout(REST_TIMEOUT_S):
                while not _is_at_rest(status := await self.status()):
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            raise SarathiError(
                f"the daemon is not at rest after {REST_TIMEOUT_S:g} s: {_whereabouts(status)}"
            ) from None
        return status

    async def counter(self, name: str) -> int:
        """Return one of the counters of `/metrics`."""
        return int(dict(_COUNTER.findall(await self._metrics()))[name])

    async def buckets(self, name: str) -> dict[float, int]:
        """Return one of its histograms: by each bound, how many were at most that."""
        found = _BUCKET.findall(await self._metrics())
        return {float(bound): int(count) for histogram, bound, count in found if histogram == name}

    async def _metrics(self) -> str:
        reader, writer = await asyncio.open_unix_connection(self.endpoint.api)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: sarathid\r\nConnection: close\r\n\r\n")
        body = ResponseBody()
        text = b""
        while not body.is_complete:
            text += body.feed(await reader.read(1 << 16))
        writer.close()
        return text.decode()


def _is_at_rest(status: Status) -> bool:
    return status.state is DaemonState.READY and status.num_running + status.num_waiting == 0


def _whereabouts(status: Status) -> str:
    return f"{status.state}, {status.num_running} running, {status.num_waiting} waiting"
