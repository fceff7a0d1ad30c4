"""Requests to be: how long they are and when they come, drawn from a passed generator so that a run can be repeated."""

import itertools
import random
from bisect import bisect_left
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


@dataclass(frozen=True, slots=True)
class QuantileLength:
    """A distribution by its quantiles: `knots` are (share, tokens), rising from share 0 to 1, straight between."""

    knots: tuple[tuple[float, int], ...]

    def draw(self, rng: random.Random, /) -> int:
        share = rng.random()
        index = max(1, bisect_left(self.knots, share, key=lambda knot: knot[0]))
        (low_share, low), (high_share, high) = self.knots[index - 1], self.knots[index]
        return max(1, round(low + (high - low) * (share - low_share) / (high_share - low_share)))


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
class GammaArrivals:
    """Like Poisson arrivals, but with gaps whose standard deviation is `burstiness` times their mean."""

    rate_per_s: float
    burstiness: float

    def times_s(self, rng: random.Random, /) -> Iterator[float]:
        shape = self.burstiness**-2.0
        time_s = 0.0
        while True:
            time_s += rng.gammavariate(shape, 1.0 / (shape * self.rate_per_s))
            yield time_s


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request to be: `arrival_s` seconds from the start of the workload, and its lengths in tokens."""

    arrival_s: float
    num_prompt_tokens: int
    num_output_tokens: int

    @property
    def num_tokens(self) -> int:
        return self.num_prompt_tokens + self.num_output_tokens


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of load: when its requests come and how long they are.

    Lengths that add up to more than `max_total_tokens` are drawn again.
    """

    arrivals: Arrivals
    prompt: Length
    output: Length
    max_total_tokens: int | None = None

    def requests(self, duration_s: float, rng: random.Random) -> Iterator[PlannedRequest]:
        """Yield the requests of the first `duration_s` seconds, in order of arrival."""
        return itertools.takewhile(lambda request: request.arrival_s < duration_s, self.endless(rng))

    def first(self, num_requests: int, rng: random.Random) -> tuple[PlannedRequest, ...]:
        """Return the first `num_requests` requests, in order of arrival."""
        return tuple(itertools.islice(self.endless(rng), num_requests))

    def endless(self, rng: random.Random) -> Iterator[PlannedRequest]:
        """Yield requests without end, in order of arrival."""
        for arrival_s in self.arrivals.times_s(rng):
            yield PlannedRequest(arrival_s, *self._lengths(rng))

    def _lengths(self, rng: random.Random) -> tuple[int, int]:
        while True:
            lengths = self.prompt.draw(rng), self.output.draw(rng)
            if self.max_total_tokens is None or sum(lengths) <= self.max_total_tokens:
                return lengths


def random_token_ids(num_tokens: int, vocab_size: int, rng: random.Random) -> list[int]:
    """Return `num_tokens` ids below `vocab_size`: a prompt that no cache has seen."""
    return [rng.randrange(vocab_size) for _ in range(num_tokens)]
