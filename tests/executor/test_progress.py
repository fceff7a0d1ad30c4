"""What takes long is told of, what is short is not."""

from sarathid.executor.progress import Progress


def test_a_sentence_every_five_seconds() -> None:
    said: list[str] = []
    times_s = iter([0.0, 4.9, 5.0, 5.0, 9.9, 10.5, 10.5])
    progress = Progress(lambda num_done: f"{num_done} of 4", said.append, lambda: next(times_s))
    for _ in range(4):
        progress(1)
    assert said == ["2 of 4", "4 of 4"]
