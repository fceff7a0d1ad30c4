"""Ranks of a node meet the others in one place, and are started together or not at all."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from sarathid.config import EngineConfig
from sarathid.errors import EngineFailed
from sarathid.executor.layout import Layout
from sarathid.executor.local_ranks import LocalRanks, meeting_of
from sarathid.executor.rank_messages import FileMeeting, SocketMeeting


def test_the_first_rank_alone_listens_for_the_others() -> None:
    there = SocketMeeting(host="10.0.0.1", port=29501, descriptor=7)

    assert meeting_of(0, there) == there
    assert meeting_of(1, there) == SocketMeeting(host="10.0.0.1", port=29501)


def test_a_file_is_open_in_every_rank() -> None:
    assert meeting_of(1, FileMeeting(7)) == FileMeeting(7)


@contextmanager
def few_descriptors(num_more: int) -> Iterator[None]:
    """Let this process open only so many more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = [os.dup(0) for _ in range(num_more)]  # each the lowest that was free, in whatever gaps there are
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened[-1] + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ranks_of_which_one_can_not_be_started_are_all_gone(tmp_path: Path) -> None:
    engine = EngineConfig(model=str(tmp_path), pipeline_parallel=8, num_threads=1)
    processes, descriptors = psutil.Process().children(), os.listdir("/proc/self/fd")
    meeting = os.memfd_create("meeting")
    with few_descriptors(num_more=16), pytest.raises(EngineFailed, match=r"rank [1-7] could not be started: .*many"):
        LocalRanks(engine, Layout.of(engine), 0, FileMeeting(meeting), "lo")
    os.close(meeting)
    assert psutil.Process().children() == processes
    assert len(os.listdir("/proc/self/fd")) <= len(descriptors)
