"""How busy each stage of a pipeline was, and how long it idled although there was work."""

from collections.abc import Sequence
from dataclasses import dataclass

from sarathid.protocol.stats import IterationStats


@dataclass(frozen=True, slots=True)
class StageUse:
    """Seconds that one stage worked, and seconds that it waited in bubbles, over the same iterations."""

    busy_s: float = 0.0
    bubble_s: float = 0.0

    @property
    def bubble_share(self) -> float:
        """The share of the time with work in which the stage did none."""
        whole_s = self.busy_s + self.bubble_s
        return self.bubble_s / whole_s if whole_s else 0.0


def stage_uses(iterations: Sequence[IterationStats]) -> list[StageUse]:
    """Return one entry a stage, first stage first, over the iterations that ran on as many stages as the newest."""
    num_stages = len(iterations[-1].stages) if iterations else 0
    alike = [iteration.stages for iteration in iterations if len(iteration.stages) == num_stages]
    return [
        StageUse(sum(stage.busy_s for stage in stages), sum(stage.bubble_s for stage in stages))
        for stages in zip(*alike, strict=True)
    ]


def worst_bubble_share(iteration: IterationStats) -> float | None:
    """Return the bubble share of the stage that idled most in one iteration; None without a pipeline."""
    if len(iteration.stages) < 2:  # most have no pipeline
        return None
    return max(use.bubble_share for use in stage_uses([iteration]))
