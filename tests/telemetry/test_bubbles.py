"""What a stage waited for while there was work is a bubble; what it waited for work is none."""

from sarathid.costmodel.pipeline import Pipeline, StageWork
from sarathid.protocol.stats import StageTime
from sarathid.telemetry.bubbles import BubbleMeter


def test_a_stage_waits_for_its_first_input_and_for_a_longer_batch_behind() -> None:
    pipeline, meter = Pipeline(2), BubbleMeter()

    first = meter.observe(pipeline.run(0.0, (1.0, 1.0)), work_since_s=0.0)
    second = meter.observe(pipeline.run(0.0, (5.0, 5.0)), work_since_s=0.0)

    assert first == (StageTime(0.0, 1.0, 0.0), StageTime(1.0, 1.0, 1.0))
    assert second == (StageTime(1.0, 5.0, 0.0), StageTime(6.0, 5.0, 4.0))


def test_a_pause_without_work_is_no_bubble() -> None:
    pipeline, meter = Pipeline(2), BubbleMeter()
    meter.observe(pipeline.run(0.0, (1.0, 1.0)), work_since_s=0.0)

    after = meter.observe(pipeline.run(100.0, (1.0, 1.0)), work_since_s=100.0)

    assert [stage.bubble_s for stage in after] == [0.0, 1.0]


def test_the_only_stage_waits_for_its_host() -> None:
    meter = BubbleMeter()
    meter.observe((StageWork(1.0, 0.5),), work_since_s=1.0)

    assert meter.observe((StageWork(1.75, 0.5),), work_since_s=1.0) == (StageTime(1.75, 0.5, 0.25),)
