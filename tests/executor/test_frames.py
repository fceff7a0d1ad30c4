"""Messages arrive whole and in order, and what is none ends the conversation."""

import io
import select
import socket

import pytest

from sarathid.errors import CodecError
from sarathid.executor.frames import FrameSocket, framed, read_frame


def test_messages_come_out_one_by_one() -> None:
    stream = io.BytesIO(framed(b"one") + framed(b"") + framed(b"three"))
    assert [read_frame(stream) for _ in range(3)] == [b"one", b"", b"three"]


@pytest.mark.parametrize("broken", [b"", b"\x01\x00", framed(b"cut")[:-1], b"\xff\xff\xff\xff"])
def test_what_is_no_message_is_refused(broken: bytes) -> None:
    with pytest.raises(CodecError):
        read_frame(io.BytesIO(broken))


def test_a_socket_reads_no_more_than_a_message_and_tells_of_its_end() -> None:
    ours, theirs = (FrameSocket(end) for end in socket.socketpair())
    ours.send(b"first")
    ours.send(b"second")
    assert theirs.receive() == b"first"
    assert theirs.connection.recv(100, socket.MSG_PEEK) == framed(b"second")
    assert theirs.receive() == b"second"
    ours.close()
    assert theirs.receive() is None
    theirs.send(b"lost")
    theirs.close()


class Trickle:
    """A stream of which three bytes at most come at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, num_bytes: int, /) -> bytes:
        return self._content.read(min(3, num_bytes))


def test_a_message_that_comes_in_pieces_is_waited_for() -> None:
    assert read_frame(Trickle(framed(b"in pieces"))) == b"in pieces"


def test_who_waits_for_a_socket_hears_that_its_peer_is_gone_behind_a_message_that_was_lost() -> None:
    ours, theirs = (FrameSocket(end) for end in socket.socketpair())
    poller = select.epoll()
    poller.register(ours, select.EPOLLIN)
    theirs.close()
    ours.send(b"lost")
    assert poller.poll(30.0)
    assert ours.receive() is None
    poller.close()
    ours.close()
