"""FasterTransformer's request-level batching: a batch is finished before the next one is started."""

from sarathid.scheduler.plan import BatchPlan
from sarathid.scheduler.token_budget import TokenBudget, WholePromptBudget


def request_level(plan: BatchPlan, budget: TokenBudget) -> None:
    """Decode while anybody does; only then start a new set of whole prompts, with the longest context reserved."""
    whole_prompts = WholePromptBudget(plan.max_num_tokens)
    plan.continue_prompts(whole_prompts)
    if plan.is_empty:
        plan.take_decodes(budget)
    if plan.is_empty:
        plan.admit_reserving(whole_prompts)
