"""The processes of a node's ranks: started, given batches, listened to, and ended together."""

import contextlib
import os
import select
import socket
import subprocess
import sys
from collections.abc import Sequence

import msgspec

from sarathid.config import EngineConfig
from sarathid.errors import EngineFailed
from sarathid.executor.batch_memory import BatchWriter
from sarathid.executor.cpu_threads import engine_environment, usable_cores
from sarathid.executor.frames import FrameSocket, framed
from sarathid.executor.layout import Layout
from sarathid.executor.lifeline import how_it_ended
from sarathid.executor.rank_messages import FileMeeting, RankConfig, RankMessage, SocketMeeting
from sarathid.executor.rank_node import LAST_BREATH_TIMEOUT_S, Port, RankNode
from sarathid.protocol.codec import decode, encode

_COMMAND = (sys.executable, "-m", "sarathid.executor.rank_process")


class LocalRanks(RankNode):
    """The ranks of node `node`, each in a process that ends with this one, however it ends.

    They meet the others at `meeting`, whose descriptor rank 0 inherits, and talk with them over `interface` alone.
    Raises `EngineFailed`, and leaves none of them, when the system has no process or descriptor for one.
    """

    def __init__(
        self, engine: EngineConfig, layout: Layout, node: int, meeting: FileMeeting | SocketMeeting, interface: str
    ) -> None:
        indices = layout.ranks_of_node(node)
        self.num_threads = max(1, (engine.num_threads or usable_cores()) // len(indices))
        self._environment = os.environ | rank_environment(self.num_threads, len(indices), interface)
        self._ranks: list[_RankProcess] = []
        self._batches = BatchWriter(layout.num_stages, len(indices))
        try:
            for index, arrivals in zip(indices, self._batches.arrivals, strict=True):
                self._ranks.append(self._start(engine, index, arrivals, meeting))
        except OSError as error:
            num_started = len(self._ranks)
            self.close()
            raise EngineFailed(f"rank {indices[num_started]} could not be started: {error}") from error

    @property
    def place(self) -> str:
        return ""

    @property
    def ports(self) -> Sequence[Port]:
        return self._ranks

    def put(self, batch: bytes) -> None:
        self._batches.put(batch)

    def how_lost(self) -> str | None:
        watched = [os.pidfd_open(rank.process.pid) for rank in self._ranks if rank.process.poll() is None]
        if len(watched) == len(self._ranks):  # who closed its socket is about to end
            select.select(watched, (), (), LAST_BREATH_TIMEOUT_S)
        for descriptor in watched:
            os.close(descriptor)
        return next((rank.how_killed for rank in self._ranks if rank.how_killed is not None), None)

    def close(self) -> None:
        for rank in self._ranks:
            rank.process.kill()
        for rank in self._ranks:
            rank.close()
        self._ranks = []
        self._batches.close()

    def _start(
        self, engine: EngineConfig, index: int, arrivals: int, meeting: FileMeeting | SocketMeeting
    ) -> "_RankProcess":
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                config = RankConfig(
                    engine=engine,
                    index=index,
                    num_threads=self.num_threads,
                    meeting=meeting_of(index, meeting),
                    batches=self._batches.descriptor,
                    arrivals=arrivals,
                    reports=theirs.fileno(),
                )
                rank = _RankProcess(config, self._environment, FrameSocket(ours))
            undo.pop_all()
        return rank


def meeting_of(index: int, meeting: FileMeeting | SocketMeeting) -> FileMeeting | SocketMeeting:
    """Return where a rank meets the others: the first one alone listens there, for two would part those who come."""
    if isinstance(meeting, SocketMeeting) and index > 0:
        return msgspec.structs.replace(meeting, descriptor=None)
    return meeting


def rank_environment(num_threads: int, num_ranks: int, interface: str) -> dict[str, str]:
    """Return the variables that one of a node's `num_ranks` ranks must find set when it loads torch."""
    return engine_environment(num_threads, num_ranks) | {
        "GLOO_SOCKET_IFNAME": interface,
        "NCCL_SOCKET_IFNAME": f"={interface}",  # it takes a bare name for how those that it may use begin
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # it warns of nodes whose addresses have no names
    }


class _RankProcess(Port):
    """One rank's process, and the socket on which it reports."""

    def __init__(self, config: RankConfig, environment: dict[str, str], reports: FrameSocket) -> None:
        self._index = config.index
        self._reports = reports
        inherited = (config.batches, config.arrivals, config.reports, config.meeting.descriptor)
        self.process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            pass_fds=[descriptor for descriptor in inherited if descriptor is not None],
            env=environment,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(framed(encode(config)))
        self.process.stdin.flush()

    def fileno(self) -> int:
        return self._reports.fileno()

    def receive(self) -> RankMessage | None:
        body = self._reports.receive()
        message: RankMessage | None = None if body is None else decode(body, RankMessage)
        return message

    @property
    def how_killed(self) -> str | None:
        """Which signal ended it, None if none did: one that another's end brought down tells of that itself."""
        status = self.process.poll()
        return f"rank {self._index} {how_it_ended(status)}" if status is not None and status < 0 else None

    def close(self) -> None:
        self.process.wait()
        self._reports.close()
        assert self.process.stdin is not None
        self.process.stdin.close()
