"""The engine's side of nodes that join it."""

import hashlib
import select
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec

from sarathid.clock import Clock, MonotonicClock
from sarathid.config import EngineConfig
from sarathid.errors import CodecError
from sarathid.executor.frames import FrameSocket
from sarathid.executor.layout import Layout
from sarathid.executor.network import listen, watch
from sarathid.executor.node_messages import NodeConfig, NodeHello, NodeRefused
from sarathid.executor.rank_messages import RankBeat, RankFault, RankMessage, SocketMeeting, StageDone
from sarathid.executor.rank_node import LAST_BREATH_TIMEOUT_S, Port, RankNode
from sarathid.models.model_config import ModelConfig
from sarathid.protocol.codec import MAX_CONTROL_BYTES, decode, encode
from sarathid.protocol.stats import MAX_STAGES
from sarathid.version import __version__

_HELLO_TIMEOUT_S = 5.0


class JoinedNode(RankNode, Port):
    """The ranks of the node `peer`, at the other end of `link`, which passes on what they and the engine say.

    Its clock runs from another moment than ours; by how much is reckoned anew whenever its ranks are asked for a beat.
    It may also run at another pace: between beats, what is known of every batch keeps the reckoning within bounds.
    """

    def __init__(self, link: FrameSocket, peer: str, clock: Clock) -> None:
        self._link = link
        self.peer = peer
        self._clock = clock
        self._asked_s = 0.0
        self._ahead_s = 0.0
        self._put_s: deque[float] = deque(maxlen=MAX_STAGES)  # of the latest batches
        self._num_put = 0
        self._num_done: Counter[int] = Counter()  # batches by rank
        self._is_gone = False

    def fileno(self) -> int:
        return self._link.fileno()

    @property
    def place(self) -> str:
        return f" (node {self.peer})"

    @property
    def ports(self) -> Sequence[Port]:
        return (self,)

    def put(self, batch: bytes) -> None:
        if batch:
            self._put_s.append(self._clock.now_s())
            self._num_put += 1
        else:
            self._asked_s = self._clock.now_s()
        self._link.send(batch)

    def receive(self) -> RankMessage | None:
        body = self._link.receive()
        self._is_gone = body is None
        message: RankMessage | None = None if body is None else decode(body, RankMessage)
        match message:
            case RankBeat(now_s=now_s):
                self._ahead_s = now_s - (self._asked_s + self._clock.now_s()) / 2
            case StageDone(start_s=start_s):
                self._bound(message)
                return msgspec.structs.replace(message, start_s=start_s - self._ahead_s)
        return message

    def _bound(self, done: StageDone) -> None:
        """Take note that a stage began with a batch after that was put, and is done with it now."""
        put_s = self._put_s[self._num_done[done.index] - self._num_put]
        self._num_done[done.index] += 1
        least_s, most_s = done.start_s + done.busy_s - self._clock.now_s(), done.start_s - put_s
        self._ahead_s = min(max(self._ahead_s, least_s), most_s)

    def how_lost(self) -> str | None:
        deadline_s = self._clock.now_s() + LAST_BREATH_TIMEOUT_S
        while not self._is_gone and select.select((self,), (), (), max(0.0, deadline_s - self._clock.now_s()))[0]:
            message = self.receive()
            if isinstance(message, RankFault):
                return f"{message.message}{self.place}" if message.was_killed else None
        return f"the node {self.peer} is gone" if self._is_gone else None

    def close(self) -> None:
        self._link.close()


def await_nodes(
    endpoint: tuple[str, int],
    engine: EngineConfig,
    model: ModelConfig,
    layout: Layout,
    meeting: SocketMeeting,
    tell_awaited: Callable[[str], None] = lambda _: None,
) -> list[JoinedNode]:
    """Listen at `endpoint` until all other nodes of the layout have joined, and tell each what it is to run.

    The place of one that leaves meanwhile goes to the next that joins.
    """
    host, port = endpoint
    joined: dict[int, JoinedNode] = {}
    with listen(host, port) as listening:
        while (index := next((free for free in range(1, layout.num_nodes) if free not in joined), None)) is not None:
            awaited = f"node {index + 1} of {layout.num_nodes}, which is to run `sarathid join {host}:{port}`"
            sys.stderr.write(f"waiting for {awaited}\n")
            tell_awaited(awaited)
            if not _has_left(joined, listening):
                config = NodeConfig(index=index, engine=engine, model_digest=digest_of(model), meeting=meeting)
                node = _welcomed(listening, config)
                if node is not None:
                    joined[index] = node
    return [joined[index] for index in sorted(joined)]


def digest_of(model: ModelConfig) -> str:
    """Return what tells one model's configuration from another's."""
    return hashlib.sha256(msgspec.json.encode(model, order="deterministic")).hexdigest()


def _has_left(joined: dict[int, JoinedNode], listening: socket.socket) -> bool:
    """Wait until a node has left, which is forgotten, or else (False) somebody wants to join."""
    while True:
        sources: list[JoinedNode | socket.socket] = [*joined.values(), listening]
        ready, _, _ = select.select(sources, (), ())
        talking = [index for index, node in joined.items() if node in ready]
        if not talking:
            return False
        for index in talking:
            message = joined[index].receive()
            if message is None or isinstance(message, RankFault):  # else its ranks live
                why = "" if message is None else f": {message.message}"
                sys.stderr.write(f"{joined[index].peer} has left again{why}\n")
                joined.pop(index).close()
                return True


def _welcomed(listening: socket.socket, config: NodeConfig) -> JoinedNode | None:
    """Take in who connects, if it is a node of our version, and tell it what it is to run."""
    connection, (peer, _) = listening.accept()
    connection.settimeout(_HELLO_TIMEOUT_S)
    watch(connection)
    link = FrameSocket(connection)
    if not _is_welcome(link, peer):
        return None
    link.send(encode(config))
    connection.settimeout(None)
    return JoinedNode(link, peer, MonotonicClock())


def _is_welcome(link: FrameSocket, peer: str) -> bool:
    """Whether who connected from `peer` is a node of our version; one that is not is told so, and left."""
    body = link.receive()
    try:
        hello: NodeHello | None = None if body is None else decode(body, NodeHello, MAX_CONTROL_BYTES)
    except CodecError:
        hello = None
    if hello is not None and hello.version == __version__:
        return True
    if hello is None:
        reason = "it did not say who it is, as `sarathid join` does"
    else:
        reason = f"it is sarathid {hello.version} and the engine {__version__}; install the same on all nodes"
        link.send(encode(NodeRefused(reason)))
    sys.stderr.write(f"{peer} can't join: {reason}\n")
    link.close()
    return False
