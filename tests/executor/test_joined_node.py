"""An engine lets in nodes of its own version, and says to all others, and of them, why not."""

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from sarathid.clock import VirtualClock
from sarathid.config import EngineConfig
from sarathid.errors import ConfigError
from sarathid.executor.frames import FrameSocket
from sarathid.executor.joined_node import JoinedNode, await_nodes, digest_of
from sarathid.executor.layout import Layout
from sarathid.executor.network import listen
from sarathid.executor.node_host import NodeHost
from sarathid.executor.node_messages import NodeAnswer, NodeConfig, NodeHello, NodeRefused
from sarathid.executor.rank_messages import RankBeat, RankFault, RankLives, SocketMeeting, StageDone
from sarathid.models.model_config import ModelConfig
from sarathid.models.model_files import resolve
from sarathid.protocol.codec import decode, encode
from sarathid.version import __version__
from tests.models.tiny import save_tiny_model

MEETING = SocketMeeting(host="127.0.0.1", port=1)
KILLED = "rank 1 was killed by SIGKILL (node 10.0.0.2)"
Endpoint = tuple[str, int]
Waiting = tuple[Endpoint, "Future[list[JoinedNode]]"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    path = tmp_path_factory.mktemp("models") / "tiny"
    save_tiny_model(path, "Llama")
    return resolve(str(path)).config


@contextmanager
def awaiting(model: ModelConfig, num_nodes: int) -> Iterator[Waiting]:
    """Give an engine that waits for the other nodes, and where."""
    with listen("127.0.0.1") as free:
        endpoint = ("127.0.0.1", free.getsockname()[1])
    engine = EngineConfig(pipeline_parallel=num_nodes, num_nodes=num_nodes, rendezvous=f"127.0.0.1:{endpoint[1]}")
    with ThreadPoolExecutor(1) as pool:
        nodes = pool.submit(await_nodes, endpoint, engine, model, Layout.of(engine), MEETING)
        yield endpoint, nodes


@pytest.fixture
def waiting(model: ModelConfig) -> Iterator[Waiting]:
    with awaiting(model, num_nodes=2) as waiting:
        yield waiting


def connect(endpoint: Endpoint) -> FrameSocket:
    while True:
        try:
            return FrameSocket(socket.create_connection(endpoint))
        except ConnectionRefusedError:  # it does not listen yet
            continue


def ask(endpoint: Endpoint, hello: bytes) -> NodeConfig | NodeRefused | None:
    link = connect(endpoint)
    answer = greet(link, hello)
    link.close()
    return answer


def greet(link: FrameSocket, hello: bytes) -> NodeConfig | NodeRefused | None:
    link.send(hello)
    body = link.receive()
    answer: NodeConfig | NodeRefused | None = None if body is None else decode(body, NodeAnswer)
    return answer


def join(endpoint: Endpoint) -> tuple[FrameSocket, int]:
    """Return the link of a node that was let in, and which node it is."""
    link = connect(endpoint)
    config = greet(link, encode(NodeHello(version=__version__)))
    assert isinstance(config, NodeConfig)
    return link, config.index


def test_a_node_of_this_version_is_let_in_behind_those_that_are_not(
    waiting: Waiting, model: ModelConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    endpoint, nodes = waiting
    assert ask(endpoint, b"GET / HTTP/1.1\r\n\r\n") is None
    refused = ask(endpoint, encode(NodeHello(version="0.0.1")))
    assert isinstance(refused, NodeRefused)
    assert refused.reason == f"it is sarathid 0.0.1 and the engine {__version__}; install the same on all nodes"
    assert not nodes.done()

    config = ask(endpoint, encode(NodeHello(version=__version__)))
    assert isinstance(config, NodeConfig)
    assert (config.index, config.meeting, config.model_digest) == (1, MEETING, digest_of(model))
    (node,) = nodes.result()
    assert node.receive() is None
    assert node.how_lost() == "the node 127.0.0.1 is gone"
    node.close()
    told = capfd.readouterr().err
    assert "127.0.0.1 can't join: it did not say who it is" in told
    assert "127.0.0.1 can't join: it is sarathid 0.0.1" in told


@pytest.mark.parametrize("last_words", [None, RankFault(index=1, message="no such model", exit_code=7)])
def test_the_place_of_a_node_that_leaves_before_all_are_there_is_free_again(
    model: ModelConfig, last_words: RankFault | None, capfd: pytest.CaptureFixture[str]
) -> None:
    with awaiting(model, num_nodes=3) as (endpoint, nodes):
        leaving, first_place = join(endpoint)
        leaving.send(encode(RankLives(index=1)))
        if last_words is not None:
            leaving.send(encode(last_words))
        leaving.close()
        one, one_place = join(endpoint)
        other, other_place = join(endpoint)
        assert (first_place, one_place, other_place) == (1, 1, 2)
        for node, link in zip(nodes.result(), (one, other), strict=True):
            link.send(encode(RankBeat(index=1, now_s=0.0)))
            assert isinstance(node.receive(), RankBeat)
            link.close()
            node.close()
    told = capfd.readouterr().err
    assert "127.0.0.1 has left again" + (": no such model" if last_words else "") in told
    assert "waiting for node 2 of 3, which is to run `sarathid join 127.0.0.1:" in told


def test_a_node_tells_an_engine_that_refuses_it_from_one_that_is_none() -> None:
    with listen("127.0.0.1") as listening, ThreadPoolExecutor(1) as pool:
        for answer, error, words in (
            (encode(NodeRefused("it is too old")), ConfigError, "refuses this node: it is too old"),
            (b"HTTP/1.1 400", ConnectionError, "is no engine, or one that has all its nodes"),
            (b"", ConnectionError, "is no engine, or one that has all its nodes"),
        ):
            joining = pool.submit(NodeHost, listening.getsockname())
            connection, _ = listening.accept()
            link = FrameSocket(connection)
            assert link.receive() == encode(NodeHello(version=__version__))
            if answer:
                link.send(answer)
            link.close()
            with pytest.raises(error, match=words):
                joining.result()


def test_a_clock_that_runs_away_between_beats_is_followed() -> None:
    ours, theirs = (FrameSocket(end) for end in socket.socketpair())
    clock = VirtualClock()
    node = JoinedNode(ours, "10.0.0.2", clock)
    start_s = []
    for pace in (1.0, 1.01, 0.99):  # of their clock, which is 500 s ahead when they are asked for a beat
        beat_s = clock.now_s()
        node.put(b"")
        assert theirs.receive() == b""
        theirs.send(encode(RankBeat(index=1, now_s=500.0 + beat_s)))
        assert isinstance(node.receive(), RankBeat)
        for _ in range(100):
            began_s = clock.now_s()
            node.put(b"a batch")
            assert theirs.receive() == b"a batch"
            clock.wait_until(began_s + 1.0)
            theirs.send(encode(StageDone(index=1, start_s=500.0 + beat_s + pace * (began_s - beat_s), busy_s=1.0)))
            done = node.receive()
            assert isinstance(done, StageDone)
            start_s.append(done.start_s - began_s)
    assert start_s == pytest.approx([0.0] * 300, abs=0.02)
    ours.close()
    theirs.close()


@pytest.mark.parametrize(
    ("last_words", "told"),
    [
        (RankFault(index=1, message="rank 1 was killed by SIGKILL", exit_code=1, was_killed=True), KILLED),
        (RankFault(index=1, message="rank 1 failed: it met nobody", exit_code=1), None),
        (None, "the node 10.0.0.2 is gone"),
    ],
)
def test_a_node_is_heard_out_when_another_rank_has_failed(last_words: RankFault | None, told: str | None) -> None:
    ours, theirs = (FrameSocket(end) for end in socket.socketpair())
    node = JoinedNode(ours, "10.0.0.2", VirtualClock())
    theirs.send(encode(RankLives(index=1)))
    if last_words is not None:
        theirs.send(encode(last_words))
    theirs.close()
    assert node.how_lost() == told
    node.close()
