"""Tells how long each stage of the pipeline was idle while there was work."""

from collections.abc import Sequence

from sarathid.costmodel.pipeline import StageWork
from sarathid.protocol.stats import StageTime


class BubbleMeter:
    """Remembers when each stage was done with its latest iteration."""

    def __init__(self) -> None:
        self._ended_s: tuple[float, ...] = ()

    def observe(self, stages: Sequence[StageWork], work_since_s: float) -> tuple[StageTime, ...]:
        """Return the stages' times in an iteration, the next one in order; the engine had work since `work_since_s`."""
        ended_s = self._ended_s or (work_since_s,) * len(stages)
        self._ended_s = tuple([work.end_s for work in stages])
        return tuple(
            [
                StageTime(work.start_s, work.busy_s, max(0.0, work.start_s - max(before_s, work_since_s)))
                for work, before_s in zip(stages, ended_s, strict=True)
            ]
        )
