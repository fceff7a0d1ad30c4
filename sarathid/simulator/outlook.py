"""Tells early that a run can no longer meet its objective, so that hopeless rates cost little."""

from sarathid.capacity import Objective
from sarathid.simulator.measurement import Measurement

_NUM_ITERATIONS_BETWEEN_LOOKS = 256
_SHARE_OF_TBTS_ALLOWED_OVER = 0.01
_SHARE_OF_DELAYS_ALLOWED_OVER = 0.5


class Outlook:
    """Watches a run; what is still to come is taken to be as good as it can be, so its verdict is final."""

    def __init__(self, objective: Objective, measured: Measurement) -> None:
        self._objective = objective
        self._measured = measured
        self._num_seen = 0
        self._num_over = 0

    def is_hopeless(self, now_s: float) -> bool:
        """Whether the objective is out of reach; looked at now and then, since it takes a while."""
        if self._measured.num_iterations % _NUM_ITERATIONS_BETWEEN_LOOKS:
            return False
        return self._has_too_many_long_tbts() or self._has_too_many_long_delays(now_s)

    def _has_too_many_long_tbts(self) -> bool:
        new_s = self._measured.tbts_s[self._num_seen :]
        self._num_seen += len(new_s)
        self._num_over += sum([tbt_s > self._objective.tbt_s for tbt_s in new_s])
        return self._num_over > _SHARE_OF_TBTS_ALLOWED_OVER * self._measured.num_expected_tbts

    def _has_too_many_long_delays(self, now_s: float) -> bool:
        limit_s = self._objective.scheduling_delay_s
        delays_s = [*self._measured.delays_s, *self._measured.waits_s(now_s)]
        num_over = sum([delay_s > limit_s for delay_s in delays_s])
        return num_over > _SHARE_OF_DELAYS_ALLOWED_OVER * len(self._measured.requests)
