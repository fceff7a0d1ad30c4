import contextlib
import os
import socket
from collections.abc import Iterator
from threading import Thread

from sarathid.engine.host import EngineHost
from sarathid.engine.link import DaemonLink
from sarathid.executor.frames import FrameSocket
from sarathid.protocol.codec import decode, encode
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.step import AddRequest, EngineBeat, EngineCommand, EngineMessage, Shutdown, StepOutput
from tests.factories import Engine, make_request


class Daemon:
    """The other end of a host's socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._frames = FrameSocket(connection)

    def leave(self) -> None:
        self._frames.close()

    def tell(self, command: EngineCommand) -> None:
        self._frames.send(encode(command))

    def hear(self) -> EngineMessage:
        body = self._frames.receive()
        assert body is not None
        message: EngineMessage = decode(body, EngineMessage)
        return message


@contextlib.contextmanager
def hosting() -> Iterator[tuple[Daemon, EngineHost]]:
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    with ours, contextlib.closing(DaemonLink(theirs)) as link:
        yield Daemon(ours), EngineHost(Engine().core, link, read_end)
    os.close(write_end)
    os.close(read_end)


def test_a_request_that_can_never_fit_is_ended_and_the_host_goes_on() -> None:
    with hosting() as (daemon, host):
        daemon.tell(AddRequest(make_request(7, num_prompt_tokens=1000)))
        daemon.tell(Shutdown())
        host.run()
        output = daemon.hear()
    assert isinstance(output, StepOutput)
    assert [(delta.request_id, delta.finish_reason) for delta in output.deltas] == [(7, FinishReason.ERROR)]
    assert [(stats.request_id, stats.num_prompt_tokens) for stats in output.finished] == [(7, 1000)]


def test_an_idle_host_sends_beats() -> None:
    with hosting() as (daemon, host):
        running = Thread(target=host.run)
        running.start()
        beat = daemon.hear()
        daemon.tell(Shutdown())
        running.join()
    assert beat == EngineBeat()


def test_a_host_whose_daemon_is_gone_ends() -> None:
    with hosting() as (daemon, host):
        daemon.tell(AddRequest(make_request(7, max_tokens=None)))
        daemon.leave()
        host.run()
