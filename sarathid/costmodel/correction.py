"""Corrects a cost model by what iterations really took."""

import math
from collections import deque
from statistics import median
from typing import NamedTuple

from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.predictor import CostModel

_FIRST_SPREAD = 0.1
_LEAST_SPREAD = 0.01
_SPREAD_GAIN = 1.0 / 32.0
_LEVEL_GAIN = 1.0 / 8.0
_MOST_EVIDENCE = 15.0  # samples
_NUM_ITERATIONS_TO_AGE = 256
_OUTLIER_SPREADS = 3.0
_NUM_TO_SHIFT = 4
_LEAST_SHIFT = 0.15
_SHIFT_SPREADS = 2.0
_MAX_CORRECTION = math.log(16.0)


class Regime(NamedTuple):
    """Iterations that are off by a similar factor: with decodes or without, and prefill tokens to half an octave."""

    has_decodes: bool
    size_class: int

    @classmethod
    def of(cls, features: IterationFeatures) -> "Regime":
        return cls(features.num_decodes > 0, size_class(features.num_prefill_tokens))


def size_class(num_tokens: int) -> int:
    """Return the number of the half octave that `num_tokens` lies in, such as 8 to 11, 12 to 15 and 16 to 23."""
    num_bits = num_tokens.bit_length()
    return num_tokens if num_bits < 2 else 2 * num_bits + (num_tokens >> (num_bits - 2)) - 4


class _Offset:
    """A regime's log-factor beside the level that all share: a mean that turns into a slow moving average.

    The mean counts a sample of zero beside what was seen. While the regime isn't seen that one gains weight, since the
    others grow old: they may come of a slow spell, and a regime that seems slow may not be tried again.
    """

    __slots__ = ("evidence", "num_samples", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.num_samples = 0
        self.evidence = 0.0  # samples that the value stands for

    def move(self, residual: float) -> None:
        self.num_samples += 1
        self.evidence = min(self.evidence + 1.0, _MOST_EVIDENCE)
        self.value += residual / (self.evidence + 1.0)

    def age(self) -> None:
        self.value *= (self.evidence + 1.0) / (self.evidence + 2.0)  # half the evidence, the same mean of it
        self.evidence /= 2.0


class CorrectedCostModel:
    """Multiplies the base model's prediction by a level, common to all, and a factor of its regime.

    The level follows the device's speed, the factors, slower, what the base model says wrong of some iterations.
    Residuals are differences of logarithms. One that is over three times the usual spread counts as three times: an
    outlier hardly moves anything. Four in a row, all far off to the same side, are no outliers but another device speed
    (a throttled clock, a neighbour gone): their median moves the level at once. The factor of a regime that is not seen
    any more fades, so that it is tried again. The base model learns from what is left when the level is taken out.
    """

    def __init__(self, base: CostModel) -> None:
        self.base = base
        self.spread = _FIRST_SPREAD
        self._level = 0.0
        self._offsets: dict[Regime, _Offset] = {}
        self._level_factor = 1.0
        self._factors: dict[tuple[bool, int], float] = {}  # by regime, since it is asked for many times an iteration
        self._recent: deque[float] = deque(maxlen=_NUM_TO_SHIFT)
        self._seen: set[Regime] = set()
        self._num_to_age = _NUM_ITERATIONS_TO_AGE

    def predict(self, features: IterationFeatures) -> float | None:
        """Return the expected seconds of an iteration, or None where the base model knows none."""
        seconds = self.base.predict(features)
        return None if seconds is None else seconds * self.factor(features)

    def factor(self, features: IterationFeatures) -> float:
        """Return what the base model's prediction is multiplied by."""
        num_decodes, _, chunks = features
        num_prefill_tokens = 0
        for num_tokens, _ in chunks:
            num_prefill_tokens += num_tokens
        return self._level_factor * self._factors.get((num_decodes > 0, size_class(num_prefill_tokens)), 1.0)

    def num_seen(self, features: IterationFeatures) -> int:
        """Return how many iterations of that regime were seen."""
        offset = self._offsets.get(Regime.of(features))
        return 0 if offset is None else offset.num_samples

    def observe(self, features: IterationFeatures, seconds: float) -> None:
        """Learn that an iteration with these features took `seconds`."""
        base_s = self.base.predict(features)
        self.base.observe(features, seconds * math.exp(-self._level))
        if not base_s or seconds <= 0.0:
            return
        regime = Regime.of(features)
        self._age_others(regime)
        offset = self._offsets.setdefault(regime, _Offset())
        residual = math.log(seconds / base_s) - self._level - offset.value
        self._recent.append(residual)
        if self._has_shifted():
            self._move_level(median(self._recent))
            self._recent.clear()
            return
        residual = _bounded(residual, _OUTLIER_SPREADS * self.spread)
        self.spread = max(_LEAST_SPREAD, self.spread + _SPREAD_GAIN * (abs(residual) - self.spread))
        offset.move(residual)
        self._factors[regime] = math.exp(offset.value)
        self._move_level(_LEVEL_GAIN * residual)

    def _age_others(self, regime: Regime) -> None:
        """From time to time, let the factors of the regimes fade that were not seen since the last time."""
        self._seen.add(regime)
        self._num_to_age -= 1
        if self._num_to_age:
            return
        for each, offset in self._offsets.items():
            if each not in self._seen:
                offset.age()
                self._factors[each] = math.exp(offset.value)
        self._seen.clear()
        self._num_to_age = _NUM_ITERATIONS_TO_AGE

    def _move_level(self, change: float) -> None:
        self._level = _bounded(self._level + change, _MAX_CORRECTION)
        self._level_factor = math.exp(self._level)

    def _has_shifted(self) -> bool:
        least = max(_LEAST_SHIFT, _SHIFT_SPREADS * self.spread)
        recent = self._recent
        return len(recent) == _NUM_TO_SHIFT and (min(recent) > least or max(recent) < -least)


def _bounded(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))
