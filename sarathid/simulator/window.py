"""A part of a simulated run, and how requests were served in it."""

from dataclasses import dataclass

from sarathid.config import parse_duration_s
from sarathid.errors import ConfigError
from sarathid.protocol.changes import Figures
from sarathid.protocol.step import StepOutput
from sarathid.telemetry.service_tally import ServiceTally


@dataclass(frozen=True, slots=True)
class Window:
    """From one moment of a run to another; raises `ConfigError` when there is nothing in between."""

    from_s: float
    until_s: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.from_s < self.until_s:
            raise ConfigError(f"there is no time between {self.from_s:g} s and {self.until_s:g} s")


def parse_window(text: str) -> Window:
    """Return the window that `60s:360s` is, or `:360s`, from the start; raises `ConfigError` for anything else."""
    start, _, end = text.partition(":")
    return Window(parse_duration_s(start) if start else 0.0, parse_duration_s(end))


class WindowFold:
    """Takes note of the iterations that end in a window; without one, of none."""

    def __init__(self, window: Window | None) -> None:
        self._window = window
        self._tally = ServiceTally()

    def is_over(self, now_s: float) -> bool:
        """Whether nothing that is still to come ends in the window."""
        return self._window is not None and now_s >= self._window.until_s

    def observe(self, output: StepOutput) -> None:
        """Take in what one iteration gave."""
        window, stats = self._window, output.stats
        if window is not None and stats is not None and window.from_s < stats.end_s <= window.until_s:
            self._tally.observe(stats)

    def figures(self, target_s: float | None) -> Figures | None:
        """Return how requests were served in it; TBTs above `target_s` are stalls."""
        window = self._window
        return None if window is None else self._tally.figures(window.until_s - window.from_s, target_s)
