"""What an iteration's record tells of its batch is what its batch was."""

from sarathid.costmodel.iteration_cost import IterationCostModel
from sarathid.costmodel.library import find_profile
from sarathid.protocol.step import StepOutput
from sarathid.simulator.serving import Serving
from sarathid.simulator.simulator import simulate
from sarathid.telemetry.iteration_features import FeatureReader
from sarathid.workload import PlannedRequest

PROFILE = find_profile("a100/mistral-7b-tp1")


def test_features_read_off_the_records_give_the_time_that_each_iteration_took() -> None:
    reader, cost_model = FeatureReader(), IterationCostModel(PROFILE)
    times_s: list[tuple[float, float]] = []
    num_preempted = 0

    def note(output: StepOutput) -> None:
        nonlocal num_preempted
        if output.stats is not None:
            times_s.append((cost_model.predict(reader.read(output.stats)), output.stats.execute_s))
            num_preempted += len(output.stats.preempted)

    requests = [PlannedRequest(0.05 * i, 40 + 60 * i, 120 + 10 * i) for i in range(12)]
    simulate(PROFILE, Serving(token_budget=128, max_model_len=1024, num_blocks=120), requests, on_step=note)

    assert num_preempted > 0
    assert all(abs(read_s / taken_s - 1.0) < 1e-9 for read_s, taken_s in times_s)


def test_a_request_that_is_gone_is_forgotten() -> None:
    reader = FeatureReader()
    simulate(
        PROFILE,
        Serving(),
        [PlannedRequest(0.0, 40, 5)],
        on_step=lambda output: None if output.stats is None else reader.read(output.stats) and None,
    )

    assert reader.num_followed == 0
