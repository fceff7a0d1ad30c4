"""Starts that operators were promised, held against when requests did start."""

from collections import deque
from dataclasses import dataclass
from statistics import median

from sarathid.protocol.stats import IterationStats, RequestStats, StreamRecord
from sarathid.protocol.why import KeptPromise, PromiseRecord, StartPromise

MAX_KEPT = 256


@dataclass(frozen=True, slots=True)
class _Promise:
    made_s: float
    due_s: float


class StartPromises:
    """The first promise that is made for a request counts; it ends when the request starts, or is gone."""

    def __init__(self) -> None:
        self._open: dict[int, _Promise] = {}
        self._kept: deque[KeptPromise] = deque(maxlen=MAX_KEPT)

    def make(self, request_id: int, now_s: float, starts_in_s: float | None) -> StartPromise | None:
        """Return the promise for a request that waits: an earlier one, or this; None where there is none to make."""
        if starts_in_s is not None:
            self._open.setdefault(request_id, _Promise(now_s, now_s + starts_in_s))
        promise = self._open.get(request_id)
        return None if promise is None else StartPromise(age_s=now_s - promise.made_s, due_s=promise.due_s - now_s)

    def observe(self, record: StreamRecord) -> None:
        """Take note of who started, and of who never will."""
        match record:
            case IterationStats() if self._open:
                for chunk in record.chunks:
                    self._check(chunk.request_id, record.start_s)
            case RequestStats():
                self._open.pop(record.request_id, None)

    def find(self, request_id: int) -> KeptPromise | None:
        """Return how the latest promise for a request came true, None if none did."""
        return next((kept for kept in reversed(self._kept) if kept.request_id == request_id), None)

    def record(self) -> PromiseRecord:
        """Return how well promises came true."""
        errors_s = [abs(kept.late_s) for kept in self._kept]
        return PromiseRecord(count=len(errors_s), median_error_s=median(errors_s) if errors_s else None)

    def _check(self, request_id: int, start_s: float) -> None:
        promise = self._open.pop(request_id, None)
        if promise is not None:
            ahead_s = promise.due_s - promise.made_s
            self._kept.append(KeptPromise(request_id=request_id, ahead_s=ahead_s, late_s=start_s - promise.due_s))
