"""Whether there is room for one request more, before anything is spent on it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sarathid.clock import Clock
from sarathid.engine.client import EngineClient
from sarathid.errors import QueueFull
from sarathid.server.access import Client
from sarathid.server.retry_advice import RetryAdvice
from sarathid.telemetry.refusals import Refusals


class Admission:
    """The engine's room, and how much of it one client may have."""

    def __init__(
        self,
        engine: EngineClient,
        advice: RetryAdvice,
        max_client_requests: int,
        clock: Clock,
        on_empty: Callable[[], None],
    ) -> None:
        """`on_empty` is called when the last place that was held is given back."""
        self._engine = engine
        self._clock = clock
        self._advice = advice
        self._max_client_requests = max_client_requests
        self._on_empty = on_empty
        self._num_by_client: Counter[str] = Counter()
        self.refusals = Refusals()

    @property
    def is_empty(self) -> bool:
        """Whether nobody holds a place: a request has one before its body is read."""
        return not self._num_by_client

    @contextmanager
    def place(self, client: Client) -> Iterator[None]:
        """Hold one of the client's places; raises `QueueFull` when it has no more, or the engine has no room."""
        self._engine.check_room(client.owner)
        if self._num_by_client[client.label] >= self._max_client_requests:
            raise QueueFull(
                f"this client has {self._max_client_requests} requests under way; wait for one of them to end",
                cause="client",
            )
        self._num_by_client[client.label] += 1
        try:
            yield
        finally:
            self._num_by_client[client.label] -= 1
            if not self._num_by_client[client.label]:
                del self._num_by_client[client.label]
            if self.is_empty:
                self._on_empty()

    def check_fits(self, prompts: Sequence[tuple[int, ...]]) -> None:
        """Raise `RequestRefused` when there is never room for the prompts of one request together."""
        self._engine.room.check_fits(prompts)

    def refuse(self, error: QueueFull, begun_s: float) -> int:
        """Count a refusal, of a request that began to arrive at `begun_s`; return in how many seconds to come again."""
        advised_s = self._advice.seconds()
        self.refusals.add(error.cause, self._clock.now_s() - begun_s)
        return advised_s
