"""Runs a workload through the real engine core on simulated devices, under a virtual clock."""

from collections.abc import Callable, Sequence

from sarathid.capacity import Objective
from sarathid.clock import VirtualClock
from sarathid.costmodel.cost_profile import CostProfile
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.engine.assembly import build_core
from sarathid.errors import RequestRefused
from sarathid.protocol.requests import Request, SamplingParams
from sarathid.protocol.step import StepOutput
from sarathid.simulator.executor import TOKEN_ID, SimulatedExecutor
from sarathid.simulator.measurement import Measurement
from sarathid.simulator.outlook import Outlook
from sarathid.simulator.report import SimulationReport, report
from sarathid.simulator.serving import Serving
from sarathid.workload import PlannedRequest


def simulate(
    profile: CostProfile,
    serving: Serving,
    requests: Sequence[PlannedRequest],
    *,
    give_up_on: Objective | None = None,
    on_step: Callable[[StepOutput], None] | None = None,
) -> SimulationReport:
    """Return what serving `requests` (in order of arrival) would have shown.

    The run ends when all have finished, or when `give_up_on` can no longer be met: then the report is incomplete and
    its latencies are lower bounds. Raises `ConfigError` when the settings contradict themselves or the profile.
    """
    simulator = Simulator(profile, serving, requests)
    outlook = None if give_up_on is None else Outlook(give_up_on, simulator.measured)
    while (output := simulator.step()) is not None:
        if on_step is not None:
            on_step(output)
        if outlook is not None and outlook.is_hopeless(simulator.now_s):
            break
    return simulator.report()


class Simulator:
    """One run, an iteration at a time."""

    def __init__(self, profile: CostProfile, serving: Serving, requests: Sequence[PlannedRequest]) -> None:
        cost_model = IterationCostModel(profile)
        self._clock = VirtualClock()
        self._executor = SimulatedExecutor(
            cost_model, self._clock, max_model_len=serving.max_model_len, block_size=serving.block_size
        )
        self._core = build_core(
            serving.engine_config(), self._executor, self._executor.start(), self._clock, cost_model=cost_model
        )
        self._serving = serving
        self._profile = profile
        self._requests = requests
        self._num_arrived = 0
        self.measured = Measurement(requests)

    @property
    def now_s(self) -> float:
        return self._clock.now_s()

    def step(self) -> StepOutput | None:
        """Run one iteration, at the next arrival if there is nothing to do now; None when all is done."""
        self._take_in_arrivals()
        while not self._core.has_work:
            if self._num_arrived == len(self._requests):
                return None
            self._clock.wait_until(self._requests[self._num_arrived].arrival_s)
            self._take_in_arrivals()
        output = self._core.step()
        assert output is not None, "whoever has work can run"
        self.measured.observe(output)
        return output

    def report(self) -> SimulationReport:
        """Return what the run has shown so far."""
        return report(self._profile, self._serving, self.measured, self._executor.pipeline, self.now_s)

    def _take_in_arrivals(self) -> None:
        now_s = self._clock.now_s()
        while self._num_arrived < len(self._requests) and self._requests[self._num_arrived].arrival_s <= now_s:
            try:
                self._core.add(_request(self._num_arrived, self._requests[self._num_arrived]))
            except RequestRefused:
                self.measured.refuse(self._num_arrived)
            self._num_arrived += 1


def _request(request_id: int, planned: PlannedRequest) -> Request:
    return Request(
        request_id=request_id,
        prompt_token_ids=(TOKEN_ID,) * planned.num_prompt_tokens,
        sampling=SamplingParams(max_tokens=planned.num_output_tokens, temperature=0.0, ignore_eos=True),
        arrival_s=planned.arrival_s,
    )
