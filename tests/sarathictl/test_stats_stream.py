"""The stats stream against a daemon that only talks, over real sockets."""

import socket
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sarathictl.client import stats_stream
from sarathictl.client.endpoint import Endpoint
from sarathictl.client.stats_stream import LinkState, StatsStream
from sarathictl.state.engine_state import EngineState
from sarathid.errors import ControlRefused
from sarathid.paths import CONTROL_SOCKET
from sarathid.protocol.control import (
    MAX_HISTORY,
    ControlRequest,
    ErrorCode,
    GetSnapshot,
    GetStatus,
    ListRequests,
    RequestList,
    Snapshot,
    Status,
)
from sarathid.protocol.gpus import GPUStatus
from sarathid.protocol.stats import Heartbeat, IterationStats, Topic
from tests.sarathictl.records import START_S, PaperEngine, make_request_status, make_snapshot, make_status
from tests.sarathictl.stub_daemon import StubDaemon

PATIENCE_S = 20.0


class Listener:
    """A stream whose items are kept, and that can be waited for."""

    def __init__(self, runtime_dir: Path) -> None:
        self.items: list[Any] = []
        self.states: list[LinkState] = []  # of the link, each as often as it came to be so
        self._changed = threading.Condition()
        self.stream = StatsStream(Endpoint(runtime_dir), self._take)

    def _take(self) -> None:
        with self._changed:
            self.items += [received.item for received in self.stream.drain()]
            if self.states[-1:] != [self.stream.link.state]:
                self.states.append(self.stream.link.state)
            self._changed.notify_all()

    def wait_for(self, is_true: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(is_true, PATIENCE_S), (self.stream.link, self.items)

    def all_of(self, type_: type[Any]) -> list[Any]:
        return [item for item in self.items if isinstance(item, type_)]


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(tmp_path)
    listener.stream.start()
    yield listener
    listener.stream.close()


def make_daemon(runtime_dir: Path) -> StubDaemon:
    answers: dict[type[ControlRequest], Callable[[Any], Any]] = {
        GetSnapshot: lambda op: msgspec.structs.replace(make_snapshot(), stream_positions=daemon.stream_positions),
        ListRequests: lambda op: RequestList(requests=(make_request_status(),)),
    }
    daemon = StubDaemon(runtime_dir, answers)
    return daemon


def iterations(num: int) -> list[IterationStats]:
    records = PaperEngine().run(START_S + 60.0)
    return list(islice((record for record in records if isinstance(record, IterationStats)), num))


def test_a_snapshot_comes_first_then_every_record_in_order(tmp_path: Path, listener: Listener) -> None:
    with make_daemon(tmp_path) as daemon:
        daemon.wait_for_subscriber()
        listener.wait_for(lambda: listener.all_of(Snapshot) != [])
        sent = iterations(5)
        daemon.publish(*sent)
        listener.wait_for(lambda: len(listener.all_of(IterationStats)) == 5)
    assert isinstance(listener.items[0], Snapshot)
    assert listener.all_of(IterationStats) == sent
    assert listener.stream.link.num_missed == 0


@pytest.mark.parametrize(("num_running", "num_iterations"), [(0, MAX_HISTORY), (8, 2048), (64, 512), (256, 512)])
def test_fewer_iterations_are_asked_for_the_more_gaps_each_holds(
    tmp_path: Path, listener: Listener, num_running: int, num_iterations: int
) -> None:
    status = msgspec.structs.replace(make_status(), num_running=num_running)
    daemon = make_daemon(tmp_path)
    daemon.answers[GetStatus] = lambda op: status
    with daemon:
        listener.wait_for(lambda: listener.all_of(Snapshot) != [])
        (asked,) = (op for op in daemon.asked if isinstance(op, GetSnapshot))
    assert asked.num_iterations == num_iterations


def test_how_gpus_are_is_asked_for_again_and_again_where_there_are_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats_stream, "STATUS_EVERY_S", 0.0)
    status = msgspec.structs.replace(make_status(), gpus=(GPUStatus(0, 0.91, 61, 388.0),))
    told = threading.Event()
    daemon = make_daemon(tmp_path)
    daemon.answers[GetStatus] = lambda op: status
    daemon.answers[GetSnapshot] = lambda op: msgspec.structs.replace(make_snapshot(), status=status)

    def look() -> None:
        state = EngineState()
        for received in stream.drain():
            if isinstance(received.item, Status):
                state.see_gpus(received.item)
        if state.view(START_S).gpus == status.gpus:
            told.set()

    stream = StatsStream(Endpoint(tmp_path), look, tells_status=True)
    with daemon:
        stream.start()
        assert told.wait(PATIENCE_S)
        stream.close()


def test_records_that_were_lost_are_counted(tmp_path: Path, listener: Listener) -> None:
    with make_daemon(tmp_path) as daemon:
        daemon.wait_for_subscriber()
        listener.wait_for(lambda: listener.all_of(Snapshot) != [])
        first, second = iterations(2)
        daemon.publish(first)
        daemon.lose(Topic.ITERATION, 3)
        daemon.publish(second)
        listener.wait_for(lambda: len(listener.all_of(IterationStats)) == 2)
        assert listener.stream.link.num_missed == 3


def test_a_daemon_that_goes_and_comes_back_is_picked_up(tmp_path: Path, listener: Listener) -> None:
    with make_daemon(tmp_path) as daemon:
        daemon.wait_for_subscriber()
        listener.wait_for(lambda: listener.stream.link.state is LinkState.LIVE)
    listener.wait_for(lambda: listener.stream.link.state is LinkState.DOWN)
    assert "no daemon answers" in listener.stream.link.message
    with make_daemon(tmp_path):
        listener.wait_for(lambda: len(listener.all_of(Snapshot)) >= 2)
        listener.wait_for(lambda: listener.stream.link.state is LinkState.LIVE)


def test_after_a_loss_the_list_of_requests_is_asked_for(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats_stream, "REQUESTS_EVERY_S", 0.05)
    with make_daemon(tmp_path) as daemon:
        daemon.wait_for_subscriber()
        listener.wait_for(lambda: bool(listener.all_of(Snapshot)))
        daemon.publish(Heartbeat(time_s=START_S, state="ready"))
        listener.wait_for(lambda: bool(listener.all_of(Heartbeat)))
        assert not listener.all_of(RequestList)
        daemon.lose(Topic.HEARTBEAT, 2)
        daemon.publish(Heartbeat(time_s=START_S, state="ready"))
        listener.wait_for(lambda: bool(listener.all_of(RequestList)))
        assert listener.stream.link.num_missed == 2


def test_silence_is_noticed_and_its_end_too(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats_stream, "SILENT_AFTER_S", 0.3)
    with make_daemon(tmp_path) as daemon:
        daemon.wait_for_subscriber()
        listener.wait_for(lambda: listener.stream.link.state is LinkState.SILENT)
        daemon.publish(Heartbeat(time_s=START_S, state="ready"))
        listener.wait_for(lambda: listener.stream.link.state is LinkState.LIVE)


def test_a_reader_that_is_too_slow_loses_the_oldest_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats_stream, "MAX_UNREAD", 4)
    is_live, has_lost = threading.Event(), threading.Event()

    def look() -> None:
        if stream.link.state is LinkState.LIVE:
            is_live.set()
        if stream.link.num_missed >= 7:
            has_lost.set()

    stream = StatsStream(Endpoint(tmp_path), look)
    with make_daemon(tmp_path) as daemon:
        stream.start()
        daemon.wait_for_subscriber()
        assert is_live.wait(PATIENCE_S)
        daemon.publish(*iterations(10))
        assert has_lost.wait(PATIENCE_S)
        stream.close()
    assert len(stream.drain()) == 4


def test_a_silent_daemon_that_answers_nothing_is_frozen(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats_stream, "SILENT_AFTER_S", 0.2)
    monkeypatch.setattr(stats_stream, "ASK_SILENT_EVERY_S", 0.0)
    monkeypatch.setattr(stats_stream, "ANSWER_TIMEOUT_S", 0.3)
    is_thawed = threading.Event()
    with make_daemon(tmp_path) as daemon:
        daemon.wait_for_subscriber()
        listener.wait_for(lambda: listener.stream.link.state is LinkState.LIVE)
        daemon.answers[ListRequests] = lambda op: is_thawed.wait(PATIENCE_S) and RequestList(requests=())
        listener.wait_for(lambda: listener.stream.link.state is LinkState.FROZEN)
        assert listener.states[-3:] == [LinkState.LIVE, LinkState.SILENT, LinkState.FROZEN]
        is_thawed.set()
        listener.wait_for(lambda: listener.stream.link.state is LinkState.LIVE)


def test_a_record_that_makes_no_sense_is_counted_and_the_rest_is_read(tmp_path: Path, listener: Listener) -> None:
    with make_daemon(tmp_path) as daemon:
        daemon.wait_for_subscriber()
        listener.wait_for(lambda: listener.all_of(Snapshot) != [])
        daemon.publish_bytes(Topic.EVENT, b"\xc1 no record")
        (sent,) = iterations(1)
        daemon.publish(sent)
        listener.wait_for(lambda: listener.all_of(IterationStats) == [sent])
        assert listener.stream.link.num_malformed == 1
        assert listener.stream.link.state is LinkState.LIVE


def test_a_daemon_of_another_version_is_told_apart_from_one_that_is_gone(tmp_path: Path, listener: Listener) -> None:
    def refuse(op: GetSnapshot) -> Snapshot:
        raise ControlRefused(ErrorCode.VERSION, "this daemon speaks version 2, not 1")

    with StubDaemon(tmp_path, {GetSnapshot: refuse}):
        listener.wait_for(lambda: listener.stream.link.state is LinkState.FOREIGN)
    assert "speaks version 2" in listener.stream.link.message


def test_a_daemon_that_hangs_is_frozen_rather_than_gone(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats_stream, "ANSWER_TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / CONTROL_SOCKET))
        listening.listen()
        listener.wait_for(lambda: listener.stream.link.state is LinkState.FROZEN)
    assert "did not answer" in listener.stream.link.message
