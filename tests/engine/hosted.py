"""An engine host over the arithmetic model in a thread of its own, at the end of a real socket."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import zmq

from sarathid.config import EngineConfig
from sarathid.engine.assembly import engine_info, initial_settings
from sarathid.engine.host import EngineHost
from sarathid.protocol.codec import encode
from sarathid.protocol.step import EngineReady
from tests.factories import Engine


@contextmanager
def hosted_engine(endpoint: Path, engine: Engine) -> Iterator[None]:
    """Run `engine` for the client that listens at `endpoint`; on leaving it dies without a word."""
    read_end, write_end = os.pipe()
    thread = Thread(target=_host, args=(endpoint, engine, read_end))
    thread.start()
    try:
        yield
    finally:
        os.close(write_end)
        thread.join()
        os.close(read_end)


def _host(endpoint: Path, engine: Engine, daemon_pipe: int) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.linger = 0
    socket.connect(f"ipc://{endpoint}")
    socket.send(encode(make_ready(engine)))
    EngineHost(engine.core, socket, daemon_pipe).run()
    socket.close()
    context.term()


def make_ready(engine: Engine) -> EngineReady:
    """Return what `engine` says first of all."""
    found = engine.executor.start()
    config = EngineConfig(token_budget=16, min_token_budget=1, max_token_budget=4096, slo_tbt="1s")
    return EngineReady(
        info=engine_info(config, found, os.getpid()), settings=initial_settings(config, found.isolated_decode_s)
    )
