"""Sarathi-Serve's stall-free batching (OSDI 2024, algorithm 3)."""

from sarathid.scheduler.plan import BatchPlan
from sarathid.scheduler.token_budget import TokenBudget


def stall_free(plan: BatchPlan, budget: TokenBudget) -> None:
    """Every running decode first, then started prompts, then new ones, all under one budget.

    Where several owners wait, the first prompt of one that is owed tokens starts before those of others go on.
    """
    plan.take_decodes(budget)
    plan.admit_owed(budget)
    plan.continue_prompts(budget)
    plan.admit(budget)
