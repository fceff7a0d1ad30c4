"""Predicts an iteration's time from its batch, learning from every iteration that ran."""

from typing import Protocol

from sarathid.costmodel.features import IterationFeatures

# Each feature is divided by its scale, so that the weights are seconds of a similar size.
_SCALES = (1.0, 8.0, 8192.0, 128.0, 262_144.0)
_FORGETTING = 0.998
_PRIOR_VARIANCE = 100.0
_MAX_VARIANCE = 1e4
_NUM_SAMPLES_TO_TRUST = 32
_OUTLIER_FACTOR = 4.0
_EXTRAPOLATION_FACTOR = 4


class CostModel(Protocol):
    """Says what an iteration will take, and may learn from what it took."""

    def predict(self, features: IterationFeatures) -> float | None:
        """Return the expected seconds of an iteration, or None while nothing is known."""
        ...

    def observe(self, features: IterationFeatures, seconds: float) -> None:
        """Take note that an iteration with these features took `seconds`."""
        ...


class OnlineCostModel:
    """Recursive least squares with forgetting over the terms of a roofline-shaped iteration cost.

    `t = fixed + a * decodes + b * decode context + c * prefill tokens + d * chunk attention`, the same
    sum that Vidur (MLSys 2024) profiles offline. A sample whose error is over four times the usual
    is pulled back to that, so that one outlier does not move the model. Nothing is said of an
    iteration with over four times the prefill of any seen before.
    """

    def __init__(self) -> None:
        size = len(_SCALES)
        self._weights = [0.0] * size
        self._covariance = [[_PRIOR_VARIANCE if i == j else 0.0 for j in range(size)] for i in range(size)]
        self._num_samples = 0
        self._mean_error_s = 0.0
        self._most_prefill_tokens = 0

    @property
    def is_trusted(self) -> bool:
        return self._num_samples >= _NUM_SAMPLES_TO_TRUST

    def predict(self, features: IterationFeatures) -> float | None:
        """Return the expected seconds of an iteration, or None where there is not enough to tell from."""
        if not self.is_trusted or features.num_prefill_tokens > _EXTRAPOLATION_FACTOR * self._most_prefill_tokens:
            return None
        return max(0.0, self._dot(_scaled(features)))

    def observe(self, features: IterationFeatures, seconds: float) -> None:
        """Learn that an iteration with these features took `seconds`."""
        x = _scaled(features)
        error = self._bounded(seconds - self._dot(x))
        gain = [sum(c * v for c, v in zip(row, x, strict=True)) for row in self._covariance]
        denominator = _FORGETTING + sum(g * v for g, v in zip(gain, x, strict=True))
        for i, g in enumerate(gain):
            self._weights[i] += error * g / denominator
            row = self._covariance[i]
            for j, h in enumerate(gain):
                row[j] = (row[j] - g * h / denominator) / _FORGETTING
            row[i] = min(row[i], _MAX_VARIANCE)
        self._num_samples += 1
        self._most_prefill_tokens = max(self._most_prefill_tokens, features.num_prefill_tokens)

    def _dot(self, x: tuple[float, ...]) -> float:
        return sum(w * v for w, v in zip(self._weights, x, strict=True))

    def _bounded(self, error_s: float) -> float:
        if self.is_trusted:
            limit = _OUTLIER_FACTOR * self._mean_error_s
            error_s = max(-limit, min(limit, error_s))
        self._mean_error_s += (abs(error_s) - self._mean_error_s) / min(self._num_samples + 1, 100)
        return error_s


def _scaled(features: IterationFeatures) -> tuple[float, ...]:
    values = (
        1.0,
        features.num_decodes,
        features.decode_context,
        features.num_prefill_tokens,
        features.chunk_attention,
    )
    return tuple(value / scale for value, scale in zip(values, _SCALES, strict=True))
