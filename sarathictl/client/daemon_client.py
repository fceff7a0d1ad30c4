"""One daemon, for programs without an event loop and for those with one."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, Unpack

from sarathictl.client.contexts import control_file_path, read_control_file
from sarathictl.client.control import DEFAULT_TIMEOUT_S, ControlClient
from sarathictl.client.endpoint import SSH_SCHEME, choose_address, local_endpoint
from sarathictl.client.operations import ChangeTerms
from sarathictl.client.record_feed import async_records, records
from sarathictl.client.ssh_bridge import SshBridge, read_ssh_address
from sarathictl.client.stats_stream import StreamItem
from sarathid.errors import NotReachable
from sarathid.protocol.control import (
    Cancelled,
    ControlRequest,
    Draining,
    Kept,
    Paused,
    RequestList,
    Resumed,
    Retuned,
    Snapshot,
    Status,
)
from sarathid.protocol.revisions import Revision
from sarathid.protocol.roles import Role
from sarathid.protocol.slo import BudgetChoice, SLOChange
from sarathid.protocol.stats import Event

Reply = TypeVar("Reply")
Arguments = ParamSpec("Arguments")


class DaemonClient(ControlClient):
    """A daemon by its address; a context manager, for one thread.

    `addr` is a runtime directory, `unix://DIRECTORY` or `ssh://[USER@]HOST[/DIRECTORY]`, `context` a name in ctl.toml.
    Without either it is the daemon that `sarathictl` would mean. `read_only`, or a context that says so, refuses here
    what would change something.

    Raises `NotReachable` when nobody listens there, `NotPermitted` when it is closed to this user, `ConfigError` when
    the address can't be.
    """

    def __init__(
        self,
        addr: str | None = None,
        *,
        context: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        read_only: bool = False,
    ) -> None:
        choice = choose_address(addr, context, os.environ, read_control_file(control_file_path()))
        is_remote = choice.addr.startswith(SSH_SCHEME)
        self._bridge = SshBridge(read_ssh_address(choice.addr)) if is_remote else None
        self.endpoint = local_endpoint(choice.addr) if self._bridge is None else self._bridge.endpoint
        limit = Role.READ if read_only or choice.is_read_only else Role.ADMIN
        try:
            super().__init__(self.endpoint.control, timeout_s, limit=limit)
        except BaseException:
            self._take_bridge_down()
            raise

    def close(self) -> None:
        """Let go of the daemon. Safe to call twice."""
        super().close()
        self._take_bridge_down()

    def records(self) -> Generator[StreamItem, None, None]:
        """Yield a `Snapshot`, then every record of `sarathid.protocol.stats` as the daemon publishes it.

        One comes before and after each iteration, one a request that arrives or ends, and every event. Another
        `Snapshot` follows a new engine, a `RequestList` records that were lost. Raises `NotReachable` when the daemon
        is gone, `CodecError` when it speaks another version. Closing the iterator ends the subscription.
        """
        return records(self.endpoint)

    def events(self) -> Generator[Event, None, None]:
        """Yield the stalls, overloads, changes of settings and changes of the daemon's state from now on."""
        with closing(records(self.endpoint)) as items:
            for item in items:
                if isinstance(item, Event):
                    yield item

    def _take_bridge_down(self) -> None:
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            bridge.close()


class AsyncDaemonClient:
    """`DaemonClient` for programs with an event loop; an asynchronous context manager, for any number of tasks.

    What tasks ask at the same time is asked one after the other. Every method does, and raises, what the other's does.
    """

    def __init__(
        self,
        addr: str | None = None,
        *,
        context: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        read_only: bool = False,
    ) -> None:
        self._client = DaemonClient(addr, context=context, timeout_s=timeout_s, read_only=read_only)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="daemon-client")
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the daemon. Safe to call twice."""
        if not self._is_closed:
            await self._in_thread(DaemonClient.close)
            self._is_closed = True
            self._thread.shutdown()

    async def request(self, op: ControlRequest, reply_type: type[Reply]) -> Reply:
        return await self._in_thread(lambda client: client.request(op, reply_type))

    async def status(self) -> Status:
        return await self._in_thread(DaemonClient.status)

    async def snapshot(self, num_iterations: int = 512) -> Snapshot:
        return await self._in_thread(DaemonClient.snapshot, num_iterations)

    async def requests(self) -> RequestList:
        return await self._in_thread(DaemonClient.requests)

    async def history(self, since_revision: int = 0) -> Sequence[Revision]:
        return await self._in_thread(DaemonClient.history, since_revision)

    async def set_budget(self, budget: BudgetChoice, **terms: Unpack[ChangeTerms]) -> Retuned:
        return await self._in_thread(lambda client: client.set_budget(budget, **terms))

    async def set_policy(self, policy: str, **terms: Unpack[ChangeTerms]) -> Retuned:
        return await self._in_thread(lambda client: client.set_policy(policy, **terms))

    async def set_slo(self, slo: SLOChange, **terms: Unpack[ChangeTerms]) -> Retuned:
        return await self._in_thread(lambda client: client.set_slo(slo, **terms))

    async def undo(self, revision: int | None = None, *, force: bool = False, **terms: Unpack[ChangeTerms]) -> Retuned:
        return await self._in_thread(lambda client: client.undo(revision, force=force, **terms))

    async def keep(self, revision: int | None = None) -> Kept:
        return await self._in_thread(DaemonClient.keep, revision)

    async def cancel(self, request_id: int) -> Cancelled:
        return await self._in_thread(DaemonClient.cancel, request_id)

    async def drain(self, timeout_s: float | None = None) -> Draining:
        return await self._in_thread(DaemonClient.drain, timeout_s)

    async def pause(self) -> Paused:
        return await self._in_thread(DaemonClient.pause)

    async def resume(self) -> Resumed:
        return await self._in_thread(DaemonClient.resume)

    def records(self) -> AsyncGenerator[StreamItem, None]:
        return async_records(self._client.endpoint)

    async def events(self) -> AsyncGenerator[Event, None]:
        async with aclosing(async_records(self._client.endpoint)) as items:
            async for item in items:
                if isinstance(item, Event):
                    yield item

    async def _in_thread(
        self,
        ask: Callable[Concatenate[DaemonClient, Arguments], Reply],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Reply:
        if self._is_closed:
            raise NotReachable("this client is closed; make another one")
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: ask(self._client, *arguments, **named)
        )
