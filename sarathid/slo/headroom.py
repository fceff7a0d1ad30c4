"""Keeps the share of late tokens below what a percentile allows."""

_FIRST_SHARE = 0.9
_LEAST_SHARE = 0.6
_MOST_SHARE = 1.0
_ALLOWED_LATE = 0.008
_STEP = 0.04


class Headroom:
    """The share of the target that iterations are planned to take; the rest is for what cannot be predicted.

    It follows a quantile: each iteration whose tokens came in time raises it a little, each late one lowers it by so
    much more that both balance when 0.8 % of tokens are late, of the 1 % that a P99 allows. An iteration counts by
    how many tokens it gave, against the usual number.
    """

    def __init__(self) -> None:
        self.share = _FIRST_SHARE
        self._mean_num_tokens = 1.0

    def observe(self, num_tokens: int, num_late: int) -> None:
        """Take note that an iteration gave `num_tokens` next tokens, `num_late` of them after the target."""
        if num_tokens == 0:
            return
        self._mean_num_tokens += 0.05 * (num_tokens - self._mean_num_tokens)
        weight = min(4.0, 1.0 / self._mean_num_tokens)
        change = _STEP * weight * (_ALLOWED_LATE * num_tokens - num_late)
        self.share = min(_MOST_SHARE, max(_LEAST_SHARE, self.share * (1.0 + change)))
