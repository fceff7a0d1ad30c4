"""The highest request rate that meets an objective, by bisection over any callable trial."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

RESOLUTION = 0.025
SCHEDULING_DELAY_S = 2.0
_FIRST_STRIDE = 8


@dataclass(frozen=True, slots=True)
class Objective:
    """P99 of all TBTs and median scheduling delay, both in seconds, neither to be exceeded (Sarathi-Serve, 5.1)."""

    tbt_s: float
    scheduling_delay_s: float = SCHEDULING_DELAY_S


class Trial(Protocol):
    """What one run at one rate showed. A run that was stopped early knows lower bounds."""

    @property
    def is_complete(self) -> bool: ...

    @property
    def num_failed(self) -> int:
        """Requests that were refused or did not finish, of a complete run."""
        ...

    @property
    def tbt_p99_s(self) -> float | None:
        """None where no request had two tokens."""
        ...

    @property
    def scheduling_delay_p50_s(self) -> float | None: ...


def meets(trial: Trial, objective: Objective) -> bool:
    """Return whether a trial held the objective, as far as it is known; a complete one with failures did not."""
    if trial.is_complete and trial.num_failed:
        return False
    return (trial.tbt_p99_s or 0.0) <= objective.tbt_s and (
        trial.scheduling_delay_p50_s or 0.0
    ) <= objective.scheduling_delay_s


SomeTrial = TypeVar("SomeTrial", bound=Trial)


@dataclass(frozen=True, slots=True)
class Capacity(Generic[SomeTrial]):
    """What a search found: the highest rate a second that held, the lowest that did not, None where none was tried.

    `trials` are those that this search looked at, by rate, in the order in which it did.
    """

    objective: Objective
    rate_per_s: float | None
    lowest_failing_per_s: float | None
    trials: tuple[tuple[float, SomeTrial], ...]


class CapacitySearch(Generic[SomeTrial]):
    """Searches rates on a grid whose steps are 2.5 %, so that searches for several objectives share their trials.

    `run_trial(rate_per_s, objective)` may stop as soon as it knows that the objective is missed. Searching the loosest
    objective first makes most of the trials that stricter ones need.
    """

    def __init__(
        self,
        run_trial: Callable[[float, Objective], SomeTrial],
        *,
        first_rate_per_s: float,
        min_rate_per_s: float = 0.01,
        max_rate_per_s: float = 1000.0,
    ) -> None:
        self._run_trial = run_trial
        self._min = _step_of(min_rate_per_s)
        self._max = _step_of(max_rate_per_s)
        self._first = min(max(_step_of(first_rate_per_s), self._min), self._max)
        self._trials: dict[int, SomeTrial] = {}

    def find(self, objective: Objective) -> Capacity[SomeTrial]:
        """Return the highest rate that holds: go up or down until it is enclosed, then bisect."""
        seen: dict[int, SomeTrial] = {}

        def holds(step: int) -> bool:
            seen[step] = self._trial(step, objective)
            return meets(seen[step], objective)

        low, high = self._enclose(holds)
        while low is not None and high is not None and high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if holds(middle) else (low, middle)
        return Capacity(
            objective=objective,
            rate_per_s=None if low is None else rate_of(low),
            lowest_failing_per_s=None if high is None else rate_of(high),
            trials=tuple((rate_of(step), trial) for step, trial in seen.items()),
        )

    def _enclose(self, holds: Callable[[int], bool]) -> tuple[int | None, int | None]:
        """Return a step that holds and one that does not, from the first rate on in strides that double.

        None stands for the first where not even the lowest rate holds, for the second where the highest does.
        """
        step, stride = self._first, _FIRST_STRIDE
        if holds(step):
            while step < self._max:
                low, step, stride = step, min(step + stride, self._max), 2 * stride
                if not holds(step):
                    return low, step
            return step, None
        while step > self._min:
            high, step, stride = step, max(step - stride, self._min), 2 * stride
            if holds(step):
                return step, high
        return None, step

    def _trial(self, step: int, objective: Objective) -> SomeTrial:
        trial = self._trials.get(step)
        if trial is None or (meets(trial, objective) and not trial.is_complete):
            trial = self._trials[step] = self._run_trial(rate_of(step), objective)
        return trial


def rate_of(step: int) -> float:
    """Return the rate at a step of the grid, requests a second."""
    return (1.0 + RESOLUTION) ** step


def _step_of(rate_per_s: float) -> int:
    return round(math.log(rate_per_s, 1.0 + RESOLUTION))
