"""FasterTransformer's request-level batching: a batch is finished before the next one is started."""

from sarathid.scheduler.plan import BatchPlan
from sarathid.scheduler.token_budget import TokenBudget, WholePromptBudget


def request_level(plan: BatchPlan, budget: TokenBudget) -> None:
    """Decode while anybody does; only then start a new set of whole prompts, with the longest context reserved.

    Owners take turns at places in the set; who comes while one runs waits for its longest answer, whoever's that is.
    """
    whole_prompts = WholePromptBudget(plan.max_num_tokens)
    plan.continue_prompts(whole_prompts)
    if plan.is_empty:
        plan.take_decodes(budget)
    if plan.is_empty:
        plan.admit_reserving(whole_prompts)
