"""Requests to be: how long they are and when they come, drawn from a passed generator so that a run can be repeated."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class Length(Protocol):
    """How many tokens a request's prompt or output has."""

    def draw(self, rng: random.Random, /) -> int:
        """Return one number of tokens, at least 1."""
        ...


@dataclass(frozen=True, slots=True)
class ConstantLength:
    """Always the same number of tokens."""

    num_tokens: int

    def draw(self, _rng: random.Random, /) -> int:
        return self.num_tokens


@dataclass(frozen=True, slots=True)
class UniformLength:
    """Every number of tokens from `low` to `high`, both included, equally likely."""

    low: int
    high: int

    def draw(self, rng: random.Random, /) -> int:
        return rng.randint(self.low, self.high)


class Arrivals(Protocol):
    """When requests come."""

    def times_s(self, rng: random.Random, /) -> Iterator[float]:
        """Yield rising moments, without end, in seconds from the start of the workload."""
        ...


@dataclass(frozen=True, slots=True)
class PeriodicArrivals:
    """One request every `period_s`, the first at `first_s`."""

    period_s: float
    first_s: float = 0.0

    def times_s(self, _rng: random.Random, /) -> Iterator[float]:
        num_arrived = 0
        while True:
            yield self.first_s + num_arrived * self.period_s
            num_arrived += 1


@dataclass(frozen=True, slots=True)
class PoissonArrivals:
    """Independent requests, `rate_per_s` of them a second on average (exponential gaps)."""

    rate_per_s: float

    def times_s(self, rng: random.Random, /) -> Iterator[float]:
        time_s = 0.0
        while True:
            time_s += rng.expovariate(self.rate_per_s)
            yield time_s


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request to be: `arrival_s` seconds from the start of the workload, and its lengths in tokens."""

    arrival_s: float
    num_prompt_tokens: int
    num_output_tokens: int


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of load: when its requests come and how long they are."""

    arrivals: Arrivals
    prompt: Length
    output: Length

    def requests(self, duration_s: float, rng: random.Random) -> Iterator[PlannedRequest]:
        """Yield the requests of the first `duration_s` seconds, in order of arrival."""
        for arrival_s in self.arrivals.times_s(rng):
            if arrival_s >= duration_s:
                return
            yield PlannedRequest(arrival_s, self.prompt.draw(rng), self.output.draw(rng))


def random_token_ids(num_tokens: int, vocab_size: int, rng: random.Random) -> list[int]:
    """Return `num_tokens` ids below `vocab_size`: a prompt that no cache has seen."""
    return [rng.randrange(vocab_size) for _ in range(num_tokens)]
