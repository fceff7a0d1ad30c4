"""Follows a daemon's stats stream in a thread: every record in order, gaps counted, connection kept."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

import zmq

from sarathictl.client.control import ControlClient
from sarathictl.client.endpoint import Endpoint
from sarathid.clock import Clock, MonotonicClock
from sarathid.errors import CodecError, ControlRefused, NotReachable
from sarathid.protocol.codec import decode
from sarathid.protocol.control import MAX_HISTORY, ErrorCode, RequestList, Snapshot, Status
from sarathid.protocol.stats import LifeCycle, StreamRecord

MAX_UNREAD = 1 << 14
MAX_GAPS_TOLD = 1 << 14  # by a snapshot's iterations: reading it holds the first picture up
MIN_ITERATIONS_TOLD = 512  # ten seconds of a fast engine, which is what the tape shows
MAX_BATCH = 512
POLL_S = 0.1
ASK_SILENT_EVERY_S = 1.0
RETRY_S = 0.5
REQUESTS_EVERY_S = 1.0
STATUS_EVERY_S = 1.0
ANSWER_TIMEOUT_S = 2.0
SILENT_AFTER_S = 2.0  # the daemon sends a heartbeat in every second without news

_FOREIGN = (ErrorCode.VERSION, ErrorCode.UNKNOWN_OP, ErrorCode.MALFORMED)


class LinkState(StrEnum):
    """How the stream stands; only `LIVE` promises that what was read last is what happens now.

    A silent daemon answers questions and tells nothing; a frozen one takes connections and answers nothing; a foreign
    one speaks another version of the protocol. `RECORDED` is no
    stream at all: what is shown happened long ago.
    """

    CONNECTING = "connecting"
    LIVE = "live"
    SILENT = "silent"
    FROZEN = "frozen"
    DOWN = "down"
    RECORDED = "recorded"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Link:
    """The connection at one moment: since when it is so and why; how many records never came or made no sense."""

    state: LinkState
    since_s: float
    message: str = ""
    num_missed: int = 0
    num_malformed: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """One thing that the daemon said, and when it was read (monotonic seconds)."""

    time_s: float
    item: "StreamItem"


StreamItem: TypeAlias = Snapshot | RequestList | Status | StreamRecord


class StatsStream:
    """Reads until closed. A snapshot comes first, and again after every new connection.

    `on_arrival` is called from the stream's thread when there is something to `drain`, or when the
    link changed; a reader that is too slow loses the oldest records, and they are counted. Who looks only now and then
    has the records of `gather_s` read at once, which takes a fraction of the time; who `tells_status` gets the status
    once a second where it says what no record does: how GPUs are.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        on_arrival: Callable[[], None] | None = None,
        clock: Clock | None = None,
        *,
        gather_s: float = 0.0,
        tells_status: bool = False,
    ) -> None:
        self._endpoint = endpoint
        self._on_arrival = on_arrival or _ignore
        self._clock = clock or MonotonicClock()
        self._gather_s = gather_s
        self._tells_status = tells_status
        self._has_gpus = False
        self._unread: deque[Received] = deque()
        self._lock = threading.Lock()
        self._is_closing = threading.Event()
        self._positions: dict[str, int] = {}
        self._link = Link(LinkState.CONNECTING, self._clock.now_s())
        self._thread = threading.Thread(target=self._run, name="stats-stream", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Stop reading and wait for the thread to end."""
        self._is_closing.set()
        self._thread.join()

    @property
    def link(self) -> Link:
        """How the connection stands now."""
        return self._link

    def drain(self) -> list[Received]:
        """Return everything that came since the last call, oldest first."""
        with self._lock:
            unread, self._unread = self._unread, deque()
        return list(unread)

    def _run(self) -> None:
        while not self._is_closing.is_set():
            try:
                self._follow()
            except TimeoutError as error:
                self._change_link(LinkState.FROZEN, str(error))
            except NotReachable as error:
                self._change_link(LinkState.DOWN, str(error))
                self._is_closing.wait(RETRY_S)
            except ControlRefused as error:
                self._change_link(LinkState.FOREIGN if error.code in _FOREIGN else LinkState.DOWN, str(error))
                self._is_closing.wait(RETRY_S)
            except CodecError as error:
                self._change_link(LinkState.FOREIGN, f"the daemon speaks another version: {error}")
                self._is_closing.wait(RETRY_S)

    def _follow(self) -> None:
        """Read one connection to its end: subscribe, take a snapshot, then pass on what comes."""
        with ControlClient(self._endpoint.control, ANSWER_TIMEOUT_S) as control, zmq.Context() as context:
            subscriber = context.socket(zmq.SUB)
            monitor = subscriber.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
            try:
                subscriber.subscribe(b"")
                subscriber.connect(f"ipc://{self._endpoint.stats}")
                if monitor.poll(int(ANSWER_TIMEOUT_S * 1e3)):
                    monitor.recv_multipart()
                self._take_snapshot(control)
                self._pass_on(control, subscriber, monitor)
            finally:
                subscriber.disable_monitor()
                monitor.close(linger=0)
                subscriber.close(linger=0)

    def _take_snapshot(self, control: ControlClient) -> None:
        num_running = max(1, control.status().num_running)
        snapshot = control.snapshot(min(max(MAX_GAPS_TOLD // num_running, MIN_ITERATIONS_TOLD), MAX_HISTORY))
        self._positions = dict(snapshot.stream_positions)
        self._has_gpus = bool(snapshot.status.gpus)
        self._deliver([snapshot])
        self._change_link(LinkState.LIVE)

    def _pass_on(self, control: ControlClient, subscriber: "zmq.Socket[bytes]", monitor: "zmq.Socket[bytes]") -> None:
        """Deliver records until the daemon hangs up or we are closed; after a loss, what it holds now."""
        heard_s = listed_s = asked_s = status_s = self._clock.now_s()
        num_missed = self._link.num_missed
        while not self._is_closing.is_set() and not monitor.poll(0):
            if subscriber.poll(int(POLL_S * 1e3)):
                batch = self._read_batch(subscriber)
                self._deliver(batch)
                heard_s = self._clock.now_s()
                self._change_link(LinkState.LIVE)
                if any(isinstance(record, LifeCycle) for record in batch):
                    self._take_snapshot(control)  # another engine: what it is comes with a snapshot alone
                if self._gather_s and len(batch) < MAX_BATCH:
                    self._is_closing.wait(self._gather_s)
            now_s = self._clock.now_s()
            if now_s - heard_s > SILENT_AFTER_S:
                if self._link.state is LinkState.LIVE:
                    self._change_link(LinkState.SILENT, f"nothing was heard of the daemon for {SILENT_AFTER_S:g} s")
                if now_s - asked_s > ASK_SILENT_EVERY_S:
                    asked_s = now_s
                    control.requests()  # one that does not answer this either is frozen
                    self._change_link(LinkState.SILENT, "the daemon answers and tells nothing")
            elif self._link.num_missed > num_missed and now_s - listed_s > REQUESTS_EVERY_S:
                listed_s, num_missed = now_s, self._link.num_missed
                self._deliver([control.requests()])
            elif self._tells_status and self._has_gpus and now_s - status_s > STATUS_EVERY_S:
                status_s = now_s
                self._deliver([control.status()])

    def _read_batch(self, subscriber: "zmq.Socket[bytes]") -> list[StreamItem]:
        """Return the records that have arrived, without those that the snapshot already told."""
        records: list[StreamItem] = []
        for _ in range(MAX_BATCH):
            try:
                frames = subscriber.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            if len(frames) == 3 and self._is_news(frames[0].decode(errors="replace"), frames[1]):
                records += self._decoded(frames[2])
        return records

    def _decoded(self, body: bytes) -> Iterator[StreamRecord]:
        """Yield a record, or nothing where it makes no sense, and count that."""
        try:
            yield decode(body, StreamRecord)
        except CodecError:
            self._link = replace(self._link, num_malformed=self._link.num_malformed + 1)

    def _is_news(self, topic: str, position_bytes: bytes) -> bool:
        position = int.from_bytes(position_bytes, "big")
        last = self._positions.get(topic, position - 1)
        if position <= last:
            return False
        self._positions[topic] = position
        self._count_missed(position - last - 1)
        return True

    def _deliver(self, items: list[StreamItem]) -> None:
        now_s = self._clock.now_s()
        with self._lock:
            self._unread.extend(Received(now_s, item) for item in items)
            num_dropped = max(0, len(self._unread) - MAX_UNREAD)
            for _ in range(num_dropped):
                self._unread.popleft()
        self._count_missed(num_dropped)
        if items:
            self._on_arrival()

    def _count_missed(self, num_records: int) -> None:
        if num_records:
            self._link = replace(self._link, num_missed=self._link.num_missed + num_records)

    def _change_link(self, state: LinkState, message: str = "") -> None:
        if (state, message) == (self._link.state, self._link.message):
            return
        since_s = self._link.since_s if state is self._link.state else self._clock.now_s()
        self._link = replace(self._link, state=state, since_s=since_s, message=message)
        self._on_arrival()


def _ignore() -> None:
    pass
