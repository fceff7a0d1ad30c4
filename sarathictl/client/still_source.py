"""What a daemon says at one moment, in the shape of a stream that ends there."""

import threading
from collections.abc import Sequence

from sarathictl.client.endpoint import Endpoint, check_reachable
from sarathictl.client.stats_stream import Link, LinkState, Received, StatsStream
from sarathid.clock import MonotonicClock
from sarathid.protocol.control import Snapshot
from sarathid.protocol.stats import Heartbeat, IterationScheduled


class StillSource:
    """Follows a daemon until it is known what runs at `time_s`, and gives that once.

    It is known when a batch is scheduled or a heartbeat says that none is; an iteration that lasts
    longer than `patience_s` is not waited for. Raises `NotReachable` when nobody listens, and
    `TimeoutError` when no snapshot comes in time.
    """

    def __init__(self, endpoint: Endpoint, patience_s: float, timeout_s: float) -> None:
        check_reachable(endpoint.control)
        self._received: list[Received] = []
        self._has_snapshot = threading.Event()
        self._knows_what_runs = threading.Event()
        stream = StatsStream(endpoint, lambda: self._take(stream))
        stream.start()
        try:
            if not self._has_snapshot.wait(timeout_s):
                raise TimeoutError(stream.link.message or f"no snapshot came within {timeout_s:g} s")
            self._knows_what_runs.wait(patience_s)
        finally:
            stream.close()
        self.time_s = MonotonicClock().now_s()
        self.link = Link(LinkState.LIVE, self.time_s)

    def drain(self) -> Sequence[Received]:
        """Return everything at the first call, nothing later."""
        received, self._received = self._received, []
        return received

    def _take(self, stream: StatsStream) -> None:
        for received in stream.drain():
            self._received.append(received)
            if isinstance(received.item, Snapshot):
                self._has_snapshot.set()
            elif isinstance(received.item, IterationScheduled | Heartbeat):
                self._knows_what_runs.set()
