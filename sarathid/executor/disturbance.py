"""What a device does that no profile says: it is off by regime, it is noisy, and now and then it hangs for a moment."""

import math
import random

from sarathid.costmodel.features import IterationFeatures

_MOST_BIAS = 0.2
_NOISE_SIGMA = 0.05
_OUTLIER_FACTOR = 3.0
_OUTLIER_PERIOD = 500
_REGIME_ENDS = (0, 192, 384, 768, 1536)


class Disturbance:
    """Factors on an iteration's time, drawn from a seed.

    Each regime (with decodes or without, and how many prefill tokens) is off by up to 20 % either way. On top come 5 %
    of lognormal noise, and every 500th iteration takes three times as long.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        num_regimes = 2 * (len(_REGIME_ENDS) + 1)
        self._biases = [1.0 + self._random.uniform(-_MOST_BIAS, _MOST_BIAS) for _ in range(num_regimes)]
        self._num_iterations = 0

    def factor(self, features: IterationFeatures) -> float:
        """Return what the next iteration's time is multiplied by."""
        self._num_iterations += 1
        noise = math.exp(self._random.gauss(0.0, _NOISE_SIGMA))
        outlier = _OUTLIER_FACTOR if self._num_iterations % _OUTLIER_PERIOD == 0 else 1.0
        return self._biases[_regime(features)] * noise * outlier


def _regime(features: IterationFeatures) -> int:
    num_prefill_tokens = features.num_prefill_tokens
    size = sum([num_prefill_tokens > end for end in _REGIME_ENDS])
    return 2 * size + (features.num_decodes > 0)
