"""What a request that lost its blocks waits for, from iteration to iteration."""

from sarathid.protocol.stats import Blocker, StallCause
from sarathid.telemetry.iteration_span import IterationSpan

_NO_BLOCKS = (Blocker.BLOCKS, Blocker.PREEMPTION)


class Eviction:
    """Follows one request through its iterations, oldest first."""

    def __init__(self, request_id: int) -> None:
        self._request_id = request_id
        self._has_blocks = True
        self._is_displaced = False

    def cause_in(self, iteration: IterationSpan) -> StallCause | None:
        """Return what the next iteration's computing is to the request; None while it never lost its blocks.

        From where it lost them it waits for blocks, wherever those who waited did for lack of them, until a chunk of it
        runs. All else is its preemption's: others had their turn, or what it held is computed again.
        """
        if self._request_id in iteration.preempted:
            self._is_displaced, self._has_blocks = True, False
        elif not self._has_blocks and any(chunk.request_id == self._request_id for chunk in iteration.chunks):
            self._has_blocks = True
        if not self._has_blocks and iteration.blocked_by in _NO_BLOCKS:
            return StallCause.KV_WAIT
        return StallCause.PREEMPTION if self._is_displaced else None
