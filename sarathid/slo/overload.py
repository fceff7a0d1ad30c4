"""Tells when the decodes alone are more than the target allows, and how many would be few enough."""

from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.predictor import CostModel
from sarathid.protocol.stats import BudgetBound, BudgetPlan, IterationStats, Overload

_NUM_TO_TURN = 8


class OverloadWatch:
    """Calls it an overload after eight iterations that say so, and over after as many that do not."""

    def __init__(self, cost_model: CostModel) -> None:
        self._cost_model = cost_model
        self._num_contrary = 0
        self.is_overloaded = False

    def observe(self, stats: IterationStats, plan: BudgetPlan, decodes: IterationFeatures) -> Overload | None:
        """Take note of a planned iteration and of its decodes; return what there is to tell, if anything changed."""
        target_s = plan.planned_s
        says_so = plan.bound is BudgetBound.HOLD or plan.decode_s > target_s
        self._num_contrary = self._num_contrary + 1 if says_so != self.is_overloaded else 0
        if self._num_contrary < _NUM_TO_TURN:
            return None
        self._num_contrary = 0
        self.is_overloaded = says_so
        return Overload(
            time_s=stats.end_s,
            iteration=stats.sequence_number,
            is_overloaded=says_so,
            num_decodes=decodes.num_decodes,
            most_decodes=self._most_decodes(decodes, target_s),
            decode_s=plan.decode_s,
            planned_s=target_s,
        )

    def _most_decodes(self, decodes: IterationFeatures, target_s: float) -> int:
        """Return how many decodes with the mean context of these take at most `target_s` alone."""
        context = decodes.decode_context / max(1, decodes.num_decodes)

        def holds(num_decodes: int) -> bool:
            seconds = self._cost_model.predict(IterationFeatures(num_decodes, round(num_decodes * context)))
            return seconds is not None and seconds <= target_s

        low, high = 0, 1
        while holds(high) and high < 1 << 16:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if holds(middle) else (low, middle)
        return low
