"""Orca's iteration-level batching (OSDI 2022) as the paper re-implements it: whole prompts beside decodes."""

from sarathid.scheduler.plan import BatchPlan
from sarathid.scheduler.token_budget import TokenBudget, WholePromptBudget


def mixed_whole(plan: BatchPlan, budget: TokenBudget) -> None:
    """Every running decode, and whole prompts with them; each reserves the longest context when it starts.

    Owners take turns at the starts of their prompts.
    """
    whole_prompts = WholePromptBudget(plan.max_num_tokens)
    plan.take_decodes(budget)
    plan.continue_prompts(whole_prompts)
    plan.admit_reserving(whole_prompts)
