"""Runs a core for a daemon: takes its commands between iterations, and sends it what each one gave."""

import time

import zmq

from sarathid.engine.core import EngineCore
from sarathid.errors import RequestRefused
from sarathid.protocol.codec import decode, encode
from sarathid.protocol.requests import FinishReason, Request
from sarathid.protocol.step import (
    AddRequest,
    CancelRequest,
    ChangeSettings,
    EngineBeat,
    EngineCommand,
    EngineMessage,
    Resume,
    Shutdown,
    StepOutput,
    TokenDelta,
)
from sarathid.telemetry.timeline import refused_stats

BEAT_EVERY_MS = 1000


class EngineHost:
    """Runs a core for the daemon at the other end of `socket` (a connected PAIR)."""

    def __init__(self, core: EngineCore, socket: "zmq.Socket[bytes]", daemon_pipe: int) -> None:
        self._core = core
        self._socket = socket
        self._daemon_pipe = daemon_pipe
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(daemon_pipe, zmq.POLLIN)
        self._is_running = True

    def run(self) -> None:
        """Iterate while there is work, send beats while there is none, until told to stop or left alone."""
        while self._is_running:
            self._take_commands()
            if self._is_running and self._core.has_work:
                self._iterate()

    def _iterate(self) -> None:
        while (scheduled := self._core.launch()) is not None:
            send(self._socket, scheduled)
        output = self._core.collect()
        if output is not None:
            send(self._socket, output)

    def _take_commands(self) -> None:
        is_idle = not self._core.has_work
        ready = dict(self._poller.poll(BEAT_EVERY_MS if is_idle else 0))
        if is_idle and not ready:
            self._core.probe()
            send(self._socket, EngineBeat())
        if self._daemon_pipe in ready:
            self._is_running = False  # nothing is ever sent on it: this is its end
        while self._is_running and self._socket.poll(0):
            self._obey(decode(self._socket.recv(), EngineCommand))

    def _obey(self, command: EngineCommand) -> None:
        match command:
            case AddRequest(request=request):
                self._add(request)
            case CancelRequest(request_id=request_id, reason=reason):
                output = self._core.cancel(request_id, reason)
                if output is not None:
                    send(self._socket, output)
            case ChangeSettings():
                send(self._socket, self._core.change_settings(command))
            case Resume(first_iteration=first_iteration, settings=settings, learned=learned):
                self._core.resume(first_iteration, settings, learned)
            case Shutdown():
                self._is_running = False

    def _add(self, request: Request) -> None:
        try:
            self._core.add(request)
        except RequestRefused:
            refused = TokenDelta(request.request_id, None, FinishReason.ERROR)
            send(self._socket, StepOutput(deltas=(refused,), finished=(refused_stats(request, time.monotonic()),)))


def send(socket: "zmq.Socket[bytes]", message: EngineMessage) -> None:
    """Send the daemon a message; never waits, since the socket has no high-water mark."""
    socket.send(encode(message))
