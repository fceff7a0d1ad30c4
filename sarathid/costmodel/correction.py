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
_LEAST_OFFSET_GAIN = 1.0 / 32.0
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
    """A regime's log-factor beside the level that all share: a mean that turns into a slow moving average."""

    __slots__ = ("num_samples", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.num_samples = 0

    def move(self, residual: float) -> None:
        self.num_samples += 1
        self.value += residual * max(1.0 / (self.num_samples + 1), _LEAST_OFFSET_GAIN)


class CorrectedCostModel:
    """Multiplies the base model's prediction by a level, common to all, and a factor of its regime.

    Residuals are differences of logarithms. One that is over three times the usual spread counts as three times:
    an outlier hardly moves anything. Four in a row, all far off to the same side, are no outliers but another device
    speed (a throttled clock, a neighbour gone): their median moves the level at once. The base model learns from
    what is left when the level is taken out.
    """

    def __init__(self, base: CostModel) -> None:
        self.base = base
        self.spread = _FIRST_SPREAD
        self._level = 0.0
        self._offsets: dict[Regime, _Offset] = {}
        self._level_factor = 1.0
        self._factors: dict[tuple[bool, int], float] = {}  # by regime, since it is asked for many times an iteration
        self._recent: deque[float] = deque(maxlen=_NUM_TO_SHIFT)

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
        factor = self._factors.get((num_decodes > 0, size_class(num_prefill_tokens)))
        return self._level_factor if factor is None else factor

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
        offset = self._offsets.setdefault(regime, _Offset())
        residual = math.log(seconds / base_s) - self._level - offset.value
        self._recent.append(residual)
        if self._has_shifted():
            self._level = _bounded(self._level + median(self._recent), _MAX_CORRECTION)
            self._level_factor = math.exp(self._level)
            self._factors = {each: math.exp(self._level + found.value) for each, found in self._offsets.items()}
            self._recent.clear()
            return
        residual = _bounded(residual, _OUTLIER_SPREADS * self.spread)
        self.spread = max(_LEAST_SPREAD, self.spread + _SPREAD_GAIN * (abs(residual) - self.spread))
        offset.move(residual)
        self._factors[regime] = math.exp(self._level + offset.value)

    def _has_shifted(self) -> bool:
        least = max(_LEAST_SHIFT, _SHIFT_SPREADS * self.spread)
        recent = self._recent
        return len(recent) == _NUM_TO_SHIFT and (min(recent) > least or max(recent) < -least)


def _bounded(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))
