"""Predicts when a batch will be done, behind the batches that are in the pipeline already."""

import math


class PipelineForecast:
    """The moments at which each stage is expected to be free, for batches that cost every stage the same.

    Without stages a batch takes its own time. With them it also waits, in each, for the batch before it. What a batch
    was late or early by, when it is collected, moves all that are behind it.
    """

    def __init__(self, num_stages: int) -> None:
        self.num_stages = num_stages
        self._free_s = [0.0] * num_stages
        self._newest_s = 0.0

    @property
    def free_s(self) -> float:
        """The moment at which the last stage is expected to be through with all that was submitted."""
        return self._free_s[-1]

    def latency_s(self, now_s: float, work_s: float) -> float:
        """Return the seconds after which a batch that is submitted now will be done; `work_s` is its own time."""
        if self.num_stages == 1:
            return work_s
        stage_s, time_s = work_s / self.num_stages, now_s
        for free_s in self._free_s:
            time_s = (time_s if time_s > free_s else free_s) + stage_s
        return time_s - now_s

    def most_work_s(self, now_s: float, latency_s: float) -> float:
        """Return the most work that will be done `latency_s` after it is submitted now, below zero if none will.

        In a pipeline it is no more than half way up from the batch before. Whoever takes more than those in flight
        makes the next one wait, which then gets less time, and a large and a small batch would alternate for ever.
        """
        if self.num_stages == 1:
            return latency_s
        most_s, num_left = math.inf, self.num_stages
        for free_s in self._free_s:
            most_s = min(most_s, (latency_s - max(0.0, free_s - now_s)) / num_left)
            num_left -= 1
        return min(most_s * self.num_stages, (latency_s + self._newest_s) / 2.0)

    def launch(self, now_s: float, work_s: float) -> float:
        """Note that such a batch is submitted now; return its latency."""
        self._newest_s = work_s
        stage_s, time_s = work_s / self.num_stages, now_s
        for stage, free_s in enumerate(self._free_s):
            self._free_s[stage] = time_s = max(time_s, free_s) + stage_s
        return time_s - now_s

    def begin(self, now_s: float, work_s: float) -> None:
        """Note that the one batch that is left, in the only stage, begins now."""
        self._free_s = [now_s + work_s]

    def collect(self, late_s: float) -> None:
        """Note that the oldest batch was done so much later than was expected."""
        self._free_s = [free_s + late_s for free_s in self._free_s]
