"""Runs a core for a daemon: takes its commands between iterations, and sends it what each one gave."""

import select
import time

from sarathid.engine.core import EngineCore
from sarathid.engine.link import DaemonLink
from sarathid.errors import RequestRefused
from sarathid.protocol.requests import FinishReason, Request
from sarathid.protocol.step import (
    AddRequest,
    CancelRequest,
    ChangeSettings,
    EngineBeat,
    EngineCommand,
    Resume,
    Shutdown,
    StepOutput,
    TokenDelta,
)
from sarathid.telemetry.timeline import refused_stats

BEAT_EVERY_MS = 1000


class EngineHost:
    """Runs a core for the daemon at the other end of `link`, for as long as that holds `daemon_pipe` open."""

    def __init__(self, core: EngineCore, link: DaemonLink, daemon_pipe: int) -> None:
        self._core = core
        self._link = link
        self._daemon_pipe = daemon_pipe
        self._poller = select.poll()
        self._poller.register(link, select.POLLIN)
        self._poller.register(daemon_pipe, select.POLLIN)
        self._is_running = True

    def run(self) -> None:
        """Iterate while there is work, send beats while there is none, until told to stop or left alone."""
        while self._is_running:
            self._take_commands()
            if self._is_running and self._core.has_work:
                self._iterate()

    def _iterate(self) -> None:
        """Hand over what can run, and wait for what runs unless there is time to take commands before."""
        while self._core.launch(self._link.send) is not None:
            pass
        if self._spare_ms:
            return
        self._core.launch_ahead()
        for message in (self._core.collect(self._link.send), self._core.begun):
            if message is not None:
                self._link.send(message)

    @property
    def _spare_ms(self) -> int:
        return int(self._core.spare_s * 1e3)

    def _take_commands(self) -> None:
        is_idle = not self._core.has_work
        wait_ms = BEAT_EVERY_MS if is_idle else self._spare_ms
        self._link.flush(wait_ms)
        ready = dict(self._poller.poll(wait_ms))
        if is_idle and not ready:
            self._core.probe()
            self._link.send(EngineBeat())
        if self._daemon_pipe in ready:
            self._is_running = False  # nothing is ever sent on it: this is its end
        while self._is_running and self._link.has_command:
            self._obey(self._link.receive())

    def _obey(self, command: EngineCommand | None) -> None:
        match command:
            case AddRequest(request=request):
                self._add(request)
            case CancelRequest(request_id=request_id, reason=reason):
                output = self._core.cancel(request_id, reason)
                if output is not None:
                    self._link.send(output)
            case ChangeSettings():
                self._link.send(self._core.change_settings(command))
            case Resume(first_iteration=first_iteration, settings=settings, learned=learned):
                self._core.resume(first_iteration, settings, learned)
            case Shutdown() | None:
                self._is_running = False

    def _add(self, request: Request) -> None:
        try:
            self._core.add(request)
        except RequestRefused:
            refused = TokenDelta(request.request_id, None, FinishReason.ERROR)
            self._link.send(StepOutput(deltas=(refused,), finished=(refused_stats(request, time.monotonic()),)))
