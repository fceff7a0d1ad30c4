"""The engine's own process: `python -m sarathid.engine.process --endpoint PATH`.

It reads its `EngineConfig` as one line of JSON from standard input, whose end means that the daemon
is gone, and then speaks the messages of `sarathid.protocol.step` with it.
"""

import argparse
import ctypes
import gc
import os
import signal
import sys
import traceback
from pathlib import Path

import msgspec
import zmq

from sarathid.clock import MonotonicClock
from sarathid.config import EngineConfig
from sarathid.engine.assembly import build_core, engine_info, initial_settings
from sarathid.engine.core import EngineCore
from sarathid.errors import RequestRefused, SarathiError
from sarathid.executor.local import LocalExecutor
from sarathid.protocol.codec import decode, encode
from sarathid.protocol.requests import FinishReason, Request
from sarathid.protocol.step import (
    AddRequest,
    CancelRequest,
    ChangeSettings,
    EngineCommand,
    EngineFault,
    EngineMessage,
    EngineReady,
    Resume,
    Shutdown,
    StepOutput,
    TokenDelta,
)
from sarathid.telemetry.gc_meter import GarbageCollectionMeter

_PR_SET_PDEATHSIG = 1


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
        """Iterate while there is work, wait while there is none, until told to stop or left alone."""
        while self._is_running:
            self._take_commands()
            if self._is_running and self._core.has_work:
                self._iterate()

    def _iterate(self) -> None:
        while (scheduled := self._core.launch()) is not None:
            _send(self._socket, scheduled)
        output = self._core.collect()
        if output is not None:
            _send(self._socket, output)

    def _take_commands(self) -> None:
        ready = dict(self._poller.poll(0 if self._core.has_work else None))
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
                    _send(self._socket, output)
            case ChangeSettings():
                _send(self._socket, self._core.change_settings(command))
            case Resume(first_iteration=first_iteration, settings=settings):
                self._core.resume(first_iteration, settings)
            case Shutdown():
                self._is_running = False

    def _add(self, request: Request) -> None:
        try:
            self._core.add(request)
        except RequestRefused:
            refused = TokenDelta(request.request_id, None, FinishReason.ERROR)
            _send(self._socket, StepOutput(deltas=(refused,)))


def main() -> int:
    """Serve the daemon until it says stop; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="sarathid-engine")
    parser.add_argument("--endpoint", type=Path, required=True, help="the daemon's socket for this engine")
    parser.add_argument("--generation", type=int, default=0, help="how many engines the daemon had before")
    arguments = parser.parse_args()
    _live_and_die_with_the_daemon()
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=EngineConfig)
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.set_hwm(0)
    socket.linger = 1000
    socket.connect(f"ipc://{arguments.endpoint}")
    try:
        _serve(config, socket)
    except SarathiError as error:
        _send(socket, EngineFault(message=str(error), exit_code=error.exit_code))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the daemon is told, whatever it was, and starts another engine
        traceback.print_exc()
        _send(socket, EngineFault(message=f"{type(error).__name__}: {error}", exit_code=1))
        return 1
    finally:
        socket.close()
        context.term()
    return 0


def _serve(config: EngineConfig, socket: "zmq.Socket[bytes]") -> None:
    meter = GarbageCollectionMeter()
    executor = LocalExecutor(config)
    found = executor.start()
    try:
        core = build_core(config, executor, found, MonotonicClock(), lambda: meter.total_s)
        gc.collect()
        gc.freeze()
        meter.start()
        info = engine_info(config, found, os.getpid())
        _send(socket, EngineReady(info=info, settings=initial_settings(config, found.isolated_decode_s)))
        EngineHost(core, socket, sys.stdin.fileno()).run()
    finally:
        executor.close()


def _send(socket: "zmq.Socket[bytes]", message: EngineMessage) -> None:
    socket.send(encode(message))


def _live_and_die_with_the_daemon() -> None:
    """Leave ^C to the daemon, and be killed by the kernel when it dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
