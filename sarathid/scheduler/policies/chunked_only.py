"""Ablation of Sarathi-Serve (its Table 4): prompts run in chunks, but never beside decodes."""

from sarathid.scheduler.plan import BatchPlan
from sarathid.scheduler.token_budget import TokenBudget


class ChunkedOnly:
    """Turns alternate strictly: a chunk of started prompts, or else of new ones; then all decodes.

    As in the stall-free order, the first prompt of an owner that is owed tokens does not wait for those of others.
    """

    def __init__(self) -> None:
        self._is_prefill_turn = True

    def __call__(self, plan: BatchPlan, budget: TokenBudget) -> None:
        if self._is_prefill_turn:
            plan.spare_decodes(budget)
            plan.admit_owed(budget)
            plan.continue_prompts(budget)
            if plan.is_empty:
                plan.admit(budget)
        self._is_prefill_turn = plan.is_empty
        if plan.is_empty:
            plan.take_decodes(budget)
        if plan.is_empty:
            plan.continue_prompts(budget)
        if plan.is_empty:
            plan.admit(budget)
