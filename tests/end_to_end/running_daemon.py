"""A real `sarathid serve` in a process of its own, as an operator would run it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import openai
import psutil
import zmq

from sarathid.paths import API_SOCKET, CONTROL_SOCKET, STATS_SOCKET
from sarathid.protocol.codec import decode, encode
from sarathid.protocol.control import ControlOp, ControlReply, GetStatus, Status
from sarathid.protocol.stats import StreamRecord

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
ASK_TIMEOUT_MS = 60_000
STREAM_TIMEOUT_MS = 60_000

T = TypeVar("T")
RecordT = TypeVar("RecordT")


class RunningDaemon:
    """A daemon that serves, and the ways to talk with it."""

    def __init__(self, process: "subprocess.Popen[bytes]", runtime_dir: Path, log_path: Path) -> None:
        self.process = process
        self.runtime_dir = runtime_dir
        self.log_path = log_path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def http(self) -> httpx.Client:
        """Return a client of the API; the caller closes it."""
        transport = httpx.HTTPTransport(uds=os.fspath(self.runtime_dir / API_SOCKET))
        return httpx.Client(transport=transport, base_url="http://daemon", timeout=600)

    def openai(self) -> openai.OpenAI:
        """Return OpenAI's own client over the Unix socket; the caller closes it."""
        http_client: Any = self.http()  # some releases name the type of another distribution of httpx
        return openai.OpenAI(base_url="http://daemon/v1", api_key="none", http_client=http_client, max_retries=0)

    def ask(self, op: ControlOp, type_: type[T]) -> T:
        """Return the daemon's answer to a control operation, which must not be an error."""
        with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(f"ipc://{self.runtime_dir}/{CONTROL_SOCKET}")
            dealer.send(encode(op))
            assert dealer.poll(ASK_TIMEOUT_MS), "no answer on the control socket"
            reply = decode(dealer.recv(), ControlReply)
        assert reply.error is None, reply.error
        return msgspec.convert(reply.ok, type_)

    def status(self) -> Status:
        return self.ask(GetStatus(), Status)

    @contextmanager
    def records(self) -> Iterator[Iterator[StreamRecord]]:
        """Give the records that are published from now on; waiting too long for one fails."""
        with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
            subscriber.subscribe(b"")
            subscriber.connect(f"ipc://{self.runtime_dir}/{STATS_SOCKET}")
            received = _received(subscriber)
            next(received)  # the first one, a heartbeat at the latest, shows that the subscription stands
            yield received

    def engine_pid(self) -> int:
        engine = self.status().engine
        assert engine is not None
        return engine.engine_pid

    def wait(self) -> int:
        """Return the exit code of a daemon that was told to end."""
        return self.process.wait(STOP_TIMEOUT_S)

    def stop(self) -> int:
        """Tell it to drain, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()


def first_of(records: Iterator[StreamRecord], type_: type[RecordT], accepts: Callable[[RecordT], bool]) -> RecordT:
    """Return the first record of a type that `accepts` says yes to."""
    return next(record for record in records if isinstance(record, type_) and accepts(record))


def launch(runtime_dir: Path, log_path: Path, *flags: str, prefix: tuple[str, ...] = ()) -> RunningDaemon:
    """Start a daemon without waiting for it, by `prefix`; it keeps its state beside its runtime directory."""
    program = os.fspath(Path(sys.executable).with_name("sarathid"))
    command = (*prefix, program, "serve", "--runtime-dir", os.fspath(runtime_dir), *flags)
    environment = os.environ | {"XDG_STATE_HOME": os.fspath(runtime_dir.parent / "state")}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment
        )
    return RunningDaemon(process, runtime_dir, log_path)


def wait_until(is_true: Callable[[], Any], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Ask until the answer is yes; for states of other processes, which nothing announces."""
    deadline_s = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline_s, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.02)


def wait_until_ready(daemon: RunningDaemon) -> None:
    """Wait until the daemon says that it is ready; fails with its log when it ends instead."""

    def is_ready() -> bool:
        assert daemon.process.poll() is None, daemon.log
        return "ready in" in daemon.log

    wait_until(is_ready, "the daemon is ready")


@contextmanager
def serving(runtime_dir: Path, *flags: str, prefix: tuple[str, ...] = ()) -> Iterator[RunningDaemon]:
    """Give a daemon that is ready; afterwards it is killed if it still runs, and its engine must be gone."""
    memory = () if "--simulate" in flags else ("--kv-memory", "512MiB")  # what a profile has memory for is enough
    daemon = launch(runtime_dir, runtime_dir.with_suffix(".log"), *memory, *flags, prefix=prefix)
    try:
        wait_until_ready(daemon)
        yield daemon
    finally:
        children = psutil.Process(daemon.process.pid).children(recursive=True) if daemon.process.poll() is None else []
        daemon.process.kill()
        daemon.process.wait()
        psutil.wait_procs(children, STOP_TIMEOUT_S)


def _received(subscriber: "zmq.Socket[bytes]") -> Iterator[StreamRecord]:
    while True:
        assert subscriber.poll(STREAM_TIMEOUT_MS), "no record on the stats socket"
        _topic, _position, body = subscriber.recv_multipart()
        record: StreamRecord = decode(body, StreamRecord)
        yield record
