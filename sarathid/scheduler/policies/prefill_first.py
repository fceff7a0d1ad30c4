"""The scheduler that vLLM had when Sarathi-Serve was written: prompts whole, and before any decode."""

from sarathid.scheduler.plan import BatchPlan
from sarathid.scheduler.token_budget import TokenBudget, WholePromptBudget


def prefill_first(plan: BatchPlan, budget: TokenBudget) -> None:
    """Run whole prompts alone if there are any; decode only when there are none.

    Owners take turns at the starts of their prompts; but who sends without end keeps everybody's answers from going on.
    """
    whole_prompts = WholePromptBudget(plan.max_num_tokens)
    plan.continue_prompts(whole_prompts)
    plan.admit(whole_prompts)
    if plan.is_empty:
        plan.take_decodes(budget)
    if plan.is_empty:  # the only decode gave its blocks up: a started prompt has room now
        plan.continue_prompts(whole_prompts)
