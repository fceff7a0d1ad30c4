"""An engine host over the arithmetic model in a thread of its own, at the end of a real socket."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from sarathid.config import EngineConfig
from sarathid.engine.assembly import engine_info, initial_settings
from sarathid.engine.host import EngineHost
from sarathid.engine.link import DaemonLink
from sarathid.protocol.step import EngineReady
from tests.factories import Engine


@contextmanager
def hosted_engine(engine: Engine) -> Iterator[socket.socket]:
    """Run `engine` and give the daemon's end of the socket to it; on leaving it dies without a word."""
    read_end, write_end = os.pipe()
    ours, theirs = socket.socketpair()
    thread = Thread(target=_host, args=(theirs, engine, read_end))
    thread.start()
    try:
        yield ours
    finally:
        os.close(write_end)
        thread.join()
        os.close(read_end)


def _host(daemon: socket.socket, engine: Engine, daemon_pipe: int) -> None:
    link = DaemonLink(daemon)
    link.send(make_ready(engine))
    EngineHost(engine.core, link, daemon_pipe).run()
    link.close()


def make_ready(engine: Engine) -> EngineReady:
    """Return what `engine` says first of all."""
    found = engine.executor.start()
    config = EngineConfig(token_budget=16, min_token_budget=1, max_token_budget=4096, slo_tbt="1s")
    return EngineReady(
        info=engine_info(config, found, os.getpid()), settings=initial_settings(config, found.isolated_decode_s)
    )
