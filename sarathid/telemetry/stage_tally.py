"""How long each stage of a pipeline worked, and how long it waited although there was work."""

from collections.abc import Sequence

from sarathid.protocol.stats import StageTime


class StageTally:
    """The seconds of every stage, of the iterations that ran on as many stages as the newest."""

    def __init__(self) -> None:
        self._seconds: list[tuple[float, float]] = []  # busy and in bubbles, the first stage first

    @property
    def worst_bubble_share(self) -> float | None:
        """The share of the time with work in which the stage that idled most did none; None without a pipeline."""
        if len(self._seconds) < 2:
            return None
        return max(bubble_s / whole_s if (whole_s := busy_s + bubble_s) else 0.0 for busy_s, bubble_s in self._seconds)

    def observe(self, stages: Sequence[StageTime]) -> None:
        """Take an iteration in."""
        if len(stages) > 1:  # most have no pipeline
            self._add([(stage.busy_s, stage.bubble_s) for stage in stages])

    def merge(self, later: "StageTally") -> None:
        """Take in all that `later` has."""
        if later._seconds:
            self._add(later._seconds)

    def _add(self, seconds: Sequence[tuple[float, float]]) -> None:
        known = self._seconds if len(self._seconds) == len(seconds) else [(0.0, 0.0)] * len(seconds)
        self._seconds = [
            (busy_s + more_busy_s, bubble_s + more_bubble_s)
            for (busy_s, bubble_s), (more_busy_s, more_bubble_s) in zip(known, seconds, strict=True)
        ]
