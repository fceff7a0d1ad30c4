"""Starts the engine process, and another one when it dies or hangs."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

import msgspec

from sarathid.config import EngineConfig
from sarathid.engine.client import EngineClient
from sarathid.engine.pause_watch import watch_pauses
from sarathid.engine.starvation import Starvation
from sarathid.errors import EngineFailed, SarathiError
from sarathid.executor.cpu_threads import engine_environment
from sarathid.executor.kept_memory import KeptMemory
from sarathid.executor.lifeline import how_it_ended

FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 10.0
STABLE_AFTER_S = 60.0
STOP_TIMEOUT_S = 5.0
LAST_WORDS_TIMEOUT_S = 1.0
LISTEN_EVERY_S = 0.25
USUAL_SILENCE_S = 1.25  # an idle engine sends a beat each second
MAX_PATIENCE = 16  # times what is too long

log = logging.getLogger(__name__)


class EngineSupervisor:
    """Keeps one engine process alive behind an `EngineClient`.

    The engine reads its configuration from standard input, which stays open: its end tells the
    engine that the daemon is gone. `on_down(reason)` and `on_up()` say when requests have to wait. What an engine that
    was killed left in its KV cache is there for the next one; what one left that failed by itself is not trusted.
    """

    def __init__(
        self,
        client: EngineClient,
        config: EngineConfig,
        *,
        start_timeout_s: float,
        max_restarts: int,
        on_down: Callable[[str], None],
        on_up: Callable[[], None],
        command: tuple[str, ...] = (sys.executable, "-m", "sarathid.engine.process"),
    ) -> None:
        self._client = client
        self._config = config
        self._start_timeout_s = start_timeout_s
        self._max_restarts = max_restarts
        self._on_down = on_down
        self._on_up = on_up
        self._command = command
        self._kept = KeptMemory.create()
        self._process: Process | None = None
        self._num_restarts_in_a_row = 0
        self._patience = 1
        self._num_to_serve = 0
        self._up_since_s = 0.0
        self.num_restarts = 0

    async def run(self) -> None:
        """Start an engine, and another one whenever it dies or hangs, until cancelled.

        Raises `EngineFailed` when the first one can't start, or when `max_restarts` in a row neither served a request
        nor lasted for `STABLE_AFTER_S`.
        """
        await self._start()
        while True:
            self._on_up()
            self._up_since_s = time.monotonic()
            reason = await self._serve_until_down()
            if self._is_stable or self._client.num_served:
                self._num_restarts_in_a_row = 0
            await self._restart(reason)

    async def stop(self) -> None:
        """End the engine and let go of its client: at once if it is not up, else when its iteration is over."""
        process = self._process
        if process is not None and process.returncode is None and self._client.is_ready:
            await self._client.close()
            await _wait_at_most(process, STOP_TIMEOUT_S)
        await self.kill()

    async def kill(self) -> None:
        """End the engine at once, whatever it does, and let go of its client."""
        await self._kill()
        self._client.disconnected()
        await self._client.close()
        self._kept.close()

    async def _start(self) -> None:
        """Start an engine process and wait until it is ready; raises `EngineFailed` when it will not be."""
        try:
            await self._wait_until_ready(*await self._spawn())
        except (OSError, RuntimeError) as error:
            # No memory, descriptor or program for it, or no thread to watch it, of which Python makes a RuntimeError.
            raise EngineFailed(f"the engine could not be started: {error}") from error

    async def _wait_until_ready(self, process: Process, connection: socket.socket) -> None:
        connecting = asyncio.create_task(self._client.connect(connection))
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait((connecting, ended), timeout=self._start_timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():  # what it said last may still be on its way
                await asyncio.wait((connecting,), timeout=LAST_WORDS_TIMEOUT_S)
            if connecting.done():
                return connecting.result()
            raise EngineFailed(self._why_not_ready(process))
        finally:
            connecting.cancel()
            ended.cancel()
            await asyncio.wait((connecting, ended))

    def _why_not_ready(self, process: Process) -> str:
        if process.returncode is None:
            waited = f"the engine was not ready after {self._start_timeout_s:g} s{self._client.silence.cause}"
            return f"{waited}; raise --start-timeout"
        return f"the engine {how_it_ended(process.returncode)} before it was ready"

    async def _spawn(self) -> tuple[Process, socket.socket]:
        """Return an engine process and our end of the socket to it."""
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as unless_spawned:
            unless_spawned.enter_context(ours)
            kept, daemon = self._kept.descriptor, theirs.fileno()
            options = {"--daemon": daemon, "--generation": self.num_restarts, "--kept-memory": kept}
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command,
                *(str(word) for option in options.items() for word in option),
                stdin=PIPE,
                pass_fds=(kept, daemon),
                start_new_session=True,
                env=engine_environment(self._config.num_threads) | os.environ,
            )
            unless_spawned.pop_all()
        watch_pauses(process.pid, self._client.engine_pauses)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(self._config) + b"\n")
        return process, ours

    async def _serve_until_down(self) -> str:
        """Pass the engine's messages on until it is no more, and return why."""
        assert self._process is not None
        talking = asyncio.create_task(self._client.run())
        ended = asyncio.create_task(self._process.wait())
        hung = asyncio.create_task(self._listen())
        try:
            await asyncio.wait((talking, ended, hung), return_when=asyncio.FIRST_COMPLETED)
            if talking.done():
                self._kept.forget()
                return _words_of(talking)
            if ended.done():
                self._forget_unless_killed()
                return f"the engine {how_it_ended(ended.result())}"
            self._patience = min(MAX_PATIENCE, 2 * self._patience)
            self._num_to_serve = self._client.num_in_flight
            return f"the engine {hung.result()}"
        finally:
            for task in (talking, ended, hung):
                task.cancel()
            await asyncio.wait((talking, ended, hung))

    async def _listen(self) -> str:
        """Wait until the engine has been silent for too long, and return how it hangs.

        Time in which it waits for a processor that others have does not count. Each hang doubles what is too long: if
        the engine is slow, not dead, it gets its iteration done. That ends when an engine is stable or has served as
        many requests as were in flight, so that none of them was the reason.
        """
        assert self._process is not None
        silence, starvation = self._client.silence, None
        while not silence.exceeds(self._patience):
            if self._is_stable or self._client.num_served >= self._num_to_serve:
                self._patience = 1
            await asyncio.sleep(LISTEN_EVERY_S)
            waited_s = 0.0
            if silence.seconds < USUAL_SILENCE_S:  # to look what each thread waited takes a millisecond
                starvation = None
            elif starvation is None:
                starvation = Starvation(self._process.pid)
            else:
                waited_s = starvation.waited_s()
            silence.lasts(max(0.0, LISTEN_EVERY_S - waited_s))
        return str(silence)

    @property
    def _is_stable(self) -> bool:
        """Whether the engine was heard of for so long that its end has nothing to do with that of the one before."""
        return time.monotonic() - self._up_since_s - self._client.silence.seconds >= STABLE_AFTER_S

    async def _restart(self, reason: str) -> None:
        while True:
            self._client.disconnected()
            self._on_down(reason)
            await self._kill()
            if self._num_restarts_in_a_row >= self._max_restarts:
                raise EngineFailed(f"{reason}; it was restarted {self._num_restarts_in_a_row} times in vain")
            await asyncio.sleep(min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 3.0**self._num_restarts_in_a_row))
            self._num_restarts_in_a_row += 1
            self.num_restarts += 1
            try:
                return await self._start()
            except SarathiError as error:  # the start failed, or what came was nonsense
                self._forget_unless_killed()
                reason = str(error)

    def _forget_unless_killed(self) -> None:
        """Let go of what an engine left that nobody killed: it may have written anything anywhere."""
        assert self._process is not None
        if self._process.returncode != -signal.SIGKILL:
            self._kept.forget()

    async def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()


async def _wait_at_most(process: Process, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(process.wait(), timeout_s)
    except TimeoutError:
        log.warning("the engine did not end within %g s; it is killed", timeout_s)


def _words_of(failed: "asyncio.Task[None]") -> str:
    try:
        failed.result()
    except SarathiError as error:  # it says that it fails, or it talks nonsense
        return str(error)
    raise AssertionError("a client talks with its engine until it is cancelled")
