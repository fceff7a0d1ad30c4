"""The engine's own record of every iteration while a load runs."""

from types import TracebackType
from typing import Self

from sarathictl.client.endpoint import Endpoint
from sarathictl.client.stats_stream import StatsStream
from sarathid.protocol.stats import IterationStats


class IterationLog:
    """Keeps the iterations that a daemon publishes while the context is open, in order."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.iterations: list[IterationStats] = []
        self._stream = StatsStream(endpoint, on_arrival=self._take)

    def __enter__(self) -> Self:
        self._stream.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def num_lost(self) -> int:
        """Records of any kind that the stream counted and that never came."""
        return self._stream.link.num_missed

    def _take(self) -> None:
        items = (received.item for received in self._stream.drain())
        self.iterations += [item for item in items if isinstance(item, IterationStats)]
