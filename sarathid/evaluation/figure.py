"""A figure of the paper: which simulations it needs and what it makes of them."""

from collections.abc import Callable
from dataclasses import dataclass

from sarathid.evaluation.jobs import Job, Results
from sarathid.evaluation.row import FigureResult


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is run: the most requests of a capacity trial, and whether only the headline cells are."""

    num_requests: int
    is_quick: bool


FULL = Scope(num_requests=2048, is_quick=False)  # the paper's number
QUICK = Scope(num_requests=256, is_quick=True)


@dataclass(frozen=True, slots=True)
class Figure:
    """`name` is what `--only` takes; `more_jobs` are those that depend on what the first gave."""

    name: str
    jobs: Callable[[Scope], tuple[Job, ...]]
    result: Callable[[Scope, Results], FigureResult]
    more_jobs: Callable[[Scope, Results], tuple[Job, ...]] = lambda _scope, _results: ()


def no_jobs(_scope: Scope) -> tuple[Job, ...]:
    """Say that the cost model or a few seconds in this process are enough."""
    return ()
