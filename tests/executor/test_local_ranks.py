"""Ranks of a node meet the others in one place."""

from sarathid.executor.local_ranks import meeting_of
from sarathid.executor.rank_messages import FileMeeting, SocketMeeting


def test_the_first_rank_alone_listens_for_the_others() -> None:
    there = SocketMeeting(host="10.0.0.1", port=29501, descriptor=7)

    assert meeting_of(0, there) == there
    assert meeting_of(1, there) == SocketMeeting(host="10.0.0.1", port=29501)


def test_a_file_is_open_in_every_rank() -> None:
    assert meeting_of(1, FileMeeting(7)) == FileMeeting(7)
