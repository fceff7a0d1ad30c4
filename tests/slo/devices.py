"""A simulated device whose speed a test can change while an engine runs on it."""

from collections.abc import Sequence

from sarathid.clock import VirtualClock
from sarathid.costmodel.cost_profile import CostProfile
from sarathid.costmodel.features import IterationFeatures
from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.engine.assembly import build_core
from sarathid.executor.disturbance import Disturbance
from sarathid.executor.simulated import SimulatedExecutor
from sarathid.protocol.stats import IterationStats, Overload
from sarathid.simulator.replay import Replay
from sarathid.simulator.serving import Serving
from sarathid.workload import PlannedRequest


class ChangingDevice(Disturbance):
    """Noisy as any, and from each moment of `slowdowns` on so many times slower than its profile."""

    def __init__(self, clock: VirtualClock, slowdowns: dict[float, float], seed: int = 11) -> None:
        super().__init__(seed)
        self._clock = clock
        self._slowdowns = slowdowns

    def factor(self, features: IterationFeatures) -> float:
        now_s = self._clock.now_s()
        current = [factor for since_s, factor in self._slowdowns.items() if since_s <= now_s]
        return super().factor(features) * (current[-1] if current else 1.0)


class Run:
    """What an adaptive engine did with requests on such a device; it may know the profile or not."""

    def __init__(
        self,
        profile: CostProfile,
        serving: Serving,
        requests: Sequence[PlannedRequest],
        slowdowns: dict[float, float],
        *,
        is_known: bool = True,
    ) -> None:
        clock, cost_model = VirtualClock(), IterationCostModel(profile)
        executor = SimulatedExecutor(
            cost_model,
            clock,
            max_model_len=serving.max_model_len,
            block_size=serving.block_size,
            pace=ChangingDevice(clock, slowdowns),
        )
        self.core = build_core(
            serving.engine_config(),
            executor,
            executor.start(),
            clock,
            cost_model=cost_model if is_known else None,
            tile=profile.linear.tile,
        )
        self.iterations: list[IterationStats] = []
        self.overloads: list[Overload] = []
        self.replay = Replay(self.core, clock, requests, executor.has_room_at)

    def until(self, time_s: float) -> "Run":
        while self.replay.now_s < time_s and (output := self.replay.step()) is not None:
            if output.stats is not None:
                self.iterations.append(output.stats)
            if output.overload is not None:
                self.overloads.append(output.overload)
        return self

    def tbts_s(self, since_s: float, until_s: float) -> list[float]:
        return [gap.tbt_s for stats in self.between(since_s, until_s) for gap in stats.gaps]

    def prefill_tokens_per_s(self, since_s: float, until_s: float) -> float:
        return sum(stats.num_prefill_tokens for stats in self.between(since_s, until_s)) / (until_s - since_s)

    def between(self, since_s: float, until_s: float) -> list[IterationStats]:
        return [stats for stats in self.iterations if since_s <= stats.end_s < until_s]
