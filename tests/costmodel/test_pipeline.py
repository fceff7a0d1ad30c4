"""Stages work one batch at a time, in order."""

from sarathid.costmodel.pipeline import Pipeline, StageWork, layers_of_stages


def test_one_stage_takes_one_batch_after_the_other() -> None:
    pipeline = Pipeline(1)

    works = [pipeline.run(now_s, (0.5,)) for now_s in (1.0, 1.0, 9.0)]

    assert works == [(StageWork(1.0, 0.5),), (StageWork(1.5, 0.5),), (StageWork(9.0, 0.5),)]


def test_a_batch_waits_for_the_one_before_it_in_every_stage() -> None:
    pipeline = Pipeline(2)

    pipeline.run(0.0, (1.0, 3.0))
    first, second = pipeline.run(0.0, (1.0, 1.0))

    assert (first.start_s, first.end_s) == (1.0, 2.0)
    assert (second.start_s, second.end_s) == (4.0, 5.0)


def test_layers_are_dealt_evenly_and_the_last_stages_get_the_fewer() -> None:
    assert layers_of_stages(10, 4) == (3, 3, 2, 2)
    assert layers_of_stages(30, 1) == (30,)
