"""What a daemon says at one moment, in the shape of a stream that ends there."""

from collections.abc import Sequence

from sarathictl.client.control import ControlAsk
from sarathictl.client.stats_stream import Link, LinkState, Received
from sarathid.clock import MonotonicClock
from sarathid.protocol.control import MAX_HISTORY, GetSnapshot, Snapshot


class SnapshotSource:
    """A source of one snapshot, taken when it is built; raises what `ControlClient.request` does."""

    def __init__(self, ask: ControlAsk) -> None:
        self.snapshot = ask(GetSnapshot(num_iterations=MAX_HISTORY), Snapshot)
        self.time_s = MonotonicClock().now_s()
        self.link = Link(LinkState.LIVE, self.time_s)
        self._unread = [Received(self.time_s, self.snapshot)]

    def drain(self) -> Sequence[Received]:
        """Return the snapshot at the first call, nothing later."""
        unread, self._unread = self._unread, []
        return unread
