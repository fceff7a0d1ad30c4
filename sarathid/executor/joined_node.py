"""The engine's side of nodes that join it."""

import hashlib
import sys
from collections import Counter, deque
from collections.abc import Sequence

import msgspec

from sarathid.clock import Clock, MonotonicClock
from sarathid.config import EngineConfig
from sarathid.errors import CodecError
from sarathid.executor.frames import FrameSocket
from sarathid.executor.layout import Layout
from sarathid.executor.network import listen, watch
from sarathid.executor.node_messages import NodeConfig, NodeHello, NodeRefused
from sarathid.executor.rank_messages import RankBeat, RankMessage, SocketMeeting, StageDone
from sarathid.executor.rank_node import Port, RankNode
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
        self._peer = peer
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
        return f"the node {self._peer} is gone" if self._is_gone else None

    def close(self) -> None:
        self._link.close()


def await_nodes(
    endpoint: tuple[str, int], engine: EngineConfig, model: ModelConfig, layout: Layout, meeting: SocketMeeting
) -> list[JoinedNode]:
    """Listen at `endpoint` until all other nodes of the layout have joined, and tell each what it is to run."""
    host, port = endpoint
    joined: list[JoinedNode] = []
    with listen(host, port) as listening:
        while (index := len(joined) + 1) < layout.num_nodes:
            sys.stderr.write(f"waiting for node {index + 1} of {layout.num_nodes}: sarathid join {host}:{port}\n")
            connection, (peer, _) = listening.accept()
            connection.settimeout(_HELLO_TIMEOUT_S)
            watch(connection)
            link = FrameSocket(connection)
            if _is_welcome(link, peer):
                config = NodeConfig(index=index, engine=engine, model_digest=digest_of(model), meeting=meeting)
                link.send(encode(config))
                connection.settimeout(None)
                joined.append(JoinedNode(link, peer, MonotonicClock()))
    return joined


def digest_of(model: ModelConfig) -> str:
    """Return what tells one model's configuration from another's."""
    return hashlib.sha256(msgspec.json.encode(model, order="deterministic")).hexdigest()


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
