"""The capacity of simulated devices under several objectives, and the form in which it is told."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

import msgspec

from sarathid.capacity import Capacity, CapacitySearch, Objective, meets
from sarathid.costmodel.cost_profile import CostProfile
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.executor.simulated import isolated_decode_s
from sarathid.protocol.slo import BudgetChoice
from sarathid.request_list import RequestList
from sarathid.simulator.report import SimulationReport
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate

_USUAL_NUM_DECODES = 32
_USUAL_TOKEN_BUDGET = 512


class FoundTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One rate that a search looked at, and what it showed."""

    rate_per_s: float
    holds: bool
    report: SimulationReport


class FoundCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """A search's answer; a None rate means that even the lowest one that was tried fails."""

    slo_tbt_s: float
    scheduling_delay_s: float
    rate_per_s: float | None
    lowest_failing_per_s: float | None
    trials: tuple[FoundTrial, ...]

    @property
    def num_requests(self) -> int:
        """How many requests the run at that rate had; where none holds, the run at the lowest rate."""
        rate_per_s = self.lowest_failing_per_s if self.rate_per_s is None else self.rate_per_s
        return next((trial.report.num_requests for trial in self.trials if trial.rate_per_s == rate_per_s), 0)

    @property
    def at_capacity(self) -> SimulationReport | None:
        """What the run at the highest rate that holds showed."""
        return next((trial.report for trial in self.trials if trial.rate_per_s == self.rate_per_s), None)


class CapacityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What `sarathid capacity --json` prints; capacities are in the order of the objectives asked for."""

    profile: str
    policy: str
    token_budget: BudgetChoice
    workload: str
    num_requests: int
    capacities: tuple[FoundCapacity, ...]


def find_capacities(
    profile: CostProfile,
    serving: Serving,
    requests: RequestList,
    objectives: Sequence[Objective],
    on_trial: Callable[[float, SimulationReport], None],
    max_arrival_s: float = math.inf,
) -> tuple[FoundCapacity, ...]:
    """Return the capacity under each objective; `on_trial` is told of every run.

    One run serves all objectives, unless the budget follows each of them.

    A run has those of `requests` that come, at its rate, within `max_arrival_s`, and ends when they are finished.
    """

    def search_with(slo_tbt_s: float | None) -> CapacitySearch[SimulationReport]:
        target = replace(serving, slo_tbt_s=slo_tbt_s)

        def run_trial(rate_per_s: float, objective: Objective) -> SimulationReport:
            arriving = requests.at_rate(rate_per_s).within(max_arrival_s)
            report = simulate(profile, target, arriving.requests, give_up_on=objective)
            on_trial(rate_per_s, report)
            return report

        return CapacitySearch(run_trial, first_rate_per_s=first_guess_per_s(profile, serving, requests))

    if not isinstance(serving.token_budget, int):
        return tuple(_found(search_with(objective.tbt_s).find(objective)) for objective in objectives)
    search = search_with(None)
    loosest_first = sorted(set(objectives), key=lambda objective: objective.tbt_s, reverse=True)
    found = {objective: _found(search.find(objective)) for objective in loosest_first}
    return tuple(found[objective] for objective in objectives)


def first_guess_per_s(profile: CostProfile, serving: Serving, requests: RequestList) -> float:
    """Return the rate at which mean requests keep the devices busy, each decode one of 32 in its iteration."""
    cost_model = IterationCostModel(profile)
    num_prompt_tokens = fmean([request.num_prompt_tokens for request in requests.requests])
    num_output_tokens = fmean([request.num_output_tokens for request in requests.requests])
    budget = serving.token_budget if isinstance(serving.token_budget, int) else _USUAL_TOKEN_BUDGET
    chunk_s = cost_model.prefill_s(budget) / cost_model.num_stages
    prefill_s = num_prompt_tokens / budget * chunk_s
    decode_s = num_output_tokens * isolated_decode_s(cost_model) / _USUAL_NUM_DECODES
    return 1.0 / (prefill_s + decode_s)


def _found(one: Capacity[SimulationReport]) -> FoundCapacity:
    return FoundCapacity(
        slo_tbt_s=one.objective.tbt_s,
        scheduling_delay_s=one.objective.scheduling_delay_s,
        rate_per_s=one.rate_per_s,
        lowest_failing_per_s=one.lowest_failing_per_s,
        trials=tuple(
            FoundTrial(rate_per_s=rate_per_s, holds=meets(trial, one.objective), report=trial)
            for rate_per_s, trial in one.trials
        ),
    )
