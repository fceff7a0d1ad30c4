"""When the stages of a pipeline work on which batch, and for how long they wait."""

from typing import NamedTuple


class StageSpan(NamedTuple):
    """One stage's work on one batch."""

    stage: int
    start_s: float
    end_s: float


class Pipeline:
    """Stages that each hold one batch at a time and hand it on.

    A bubble is the time in which a stage is idle while another one works. With one stage there is none.
    """

    def __init__(self, num_stages: int) -> None:
        self._free_s = [0.0] * num_stages
        self.busy_s = 0.0
        self.bubble_s = 0.0

    @property
    def num_stages(self) -> int:
        return len(self._free_s)

    @property
    def bubble_share(self) -> float:
        """Share of the stages' time, from the first work to the last without pauses, that they waited."""
        stage_s = self.busy_s + self.bubble_s
        return self.bubble_s / stage_s if stage_s else 0.0

    def run(self, now_s: float, stage_s: tuple[float, ...]) -> float:
        """Send a batch that costs stage i `stage_s[i]` seconds in at `now_s`; return when the last stage is done."""
        if now_s > self._free_s[-1]:  # everything before has left: a pause, not a bubble
            self._free_s = [now_s] * self.num_stages
        time_s = now_s
        for stage, seconds in enumerate(stage_s):
            start_s = max(time_s, self._free_s[stage])
            self.bubble_s += start_s - self._free_s[stage]
            self.busy_s += seconds
            self._free_s[stage] = time_s = start_s + seconds
        return time_s
