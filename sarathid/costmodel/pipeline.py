"""When the stages of a pipeline work on which batch."""

from typing import NamedTuple


def layers_of_stages(num_layers: int, num_stages: int) -> tuple[int, ...]:
    """Return how many layers each stage has: as even as can be; the last ones, which have the head, get the fewer."""
    least, num_longer = divmod(num_layers, num_stages)
    return (least + 1,) * num_longer + (least,) * (num_stages - num_longer)


class StageWork(NamedTuple):
    """One stage's work on one batch: it began at `start_s` (monotonic), with its input there, and took `busy_s`.

    What it waited for the stage before is no part of it; handing the result on is, as long as it keeps the stage.
    """

    start_s: float
    busy_s: float

    @property
    def end_s(self) -> float:
        return self.start_s + self.busy_s


class Pipeline:
    """Stages that each hold one batch at a time and hand it on."""

    def __init__(self, num_stages: int) -> None:
        self._free_s = [0.0] * num_stages

    @property
    def num_stages(self) -> int:
        return len(self._free_s)

    def run(self, now_s: float, stage_s: tuple[float, ...]) -> tuple[StageWork, ...]:
        """Send a batch that costs stage i `stage_s[i]` seconds in at `now_s`; return when each will work on it."""
        works, time_s = [], now_s
        for stage, busy_s in enumerate(stage_s):
            start_s = max(time_s, self._free_s[stage])
            self._free_s[stage] = time_s = start_s + busy_s
            works.append(StageWork(start_s, busy_s))
        return tuple(works)
