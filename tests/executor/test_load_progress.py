"""A long load is told of, a short one is not."""

from sarathid.executor.load_progress import LoadProgress


def test_a_sentence_every_five_seconds() -> None:
    said: list[str] = []
    times_s = iter([0.0, 4.9, 5.0, 5.0, 9.9, 10.5, 10.5])
    progress = LoadProgress("big", 4 << 30, said.append, lambda: next(times_s))
    for _ in range(4):
        progress(1 << 30)
    assert said == ["loading big: 2.0 of 4.0 GiB", "loading big: 4.0 of 4.0 GiB"]
