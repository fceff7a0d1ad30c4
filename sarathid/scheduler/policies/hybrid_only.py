"""Ablation of Sarathi-Serve (its Table 4): prompts run beside decodes, but never in chunks."""

from sarathid.scheduler.plan import BatchPlan
from sarathid.scheduler.token_budget import TokenBudget, WholePromptBudget


def hybrid_only(plan: BatchPlan, budget: TokenBudget) -> None:
    """The stall-free order with whole prompts; owners take turns at their starts."""
    whole_prompts = WholePromptBudget(plan.max_num_tokens)
    plan.take_decodes(budget)
    plan.continue_prompts(whole_prompts)
    plan.admit(whole_prompts)
