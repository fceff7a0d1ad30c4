import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarathid.errors import ControlRefused
from sarathid.slo.guard import NUM_LOOKS, GuardWatch, Metric, MetricValues, parse_guard

GOOD = {Metric.TBT_P99: 0.1, Metric.STALLS_PER_S: 0.0}
BAD = {Metric.TBT_P99: 0.2, Metric.STALLS_PER_S: 0.0}
GUARD = parse_guard("tbt.p99 < 120ms and stalls_per_s <= 2")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("tbt.p99 < 120ms", [(Metric.TBT_P99, "<", 0.12)]),
        ("tbt<120ms and ttft <= 1.5 s", [(Metric.TBT_P99, "<", 0.12), (Metric.TTFT_P95, "<=", 1.5)]),
        ("ttft.max<2m", [(Metric.TTFT_MAX, "<", 120.0)]),
        ("tokens_per_s > 0.5 and stalls_per_s <= 2", [(Metric.TOKENS_PER_S, ">", 0.5), (Metric.STALLS_PER_S, "<=", 2)]),
        ("", []),
    ],
)
def test_a_guard_is_objectives_joined_by_and(text: str, read: list[tuple[Metric, str, float]]) -> None:
    found = [(objective.metric, objective.comparison, round(objective.bound, 9)) for objective in parse_guard(text)]

    assert found == read


@pytest.mark.parametrize(
    "text",
    [
        "tbt.p99",
        "tbt.p99 < 120",
        "tbt.p99 < -1ms",
        "tbt.p99 < 0ms",
        "tbt.p99 < 9999m",
        "tbt.p99 == 1ms",
        "speed < 1ms",
        "stalls_per_s < 2ms",
        "tbt < 1ms or ttft < 1s",
        "tbt < 1ms and",
        "__import__('os')",
    ],
)
def test_what_is_no_objective_is_refused(text: str) -> None:
    with pytest.raises(ControlRefused, match=r"not an objective|not a duration"):
        parse_guard(text)


@given(st.text(max_size=200))
def test_any_text_is_a_guard_or_refused(text: str) -> None:
    try:
        parse_guard(text)
    except ControlRefused as refused:
        assert refused.code == "malformed"


def looks(watch: GuardWatch, *values: MetricValues) -> list[str | None]:
    found = [watch.look(seen) for seen in values]
    return [None if objective is None else objective.text for objective in found]


def test_an_objective_is_broken_when_it_failed_at_every_one_of_the_last_looks() -> None:
    watch = GuardWatch(GUARD, GOOD)

    assert looks(watch, *[BAD] * (NUM_LOOKS - 1), GOOD) == [None] * NUM_LOOKS
    assert looks(watch, *[BAD] * NUM_LOOKS) == [*[None] * (NUM_LOOKS - 1), "tbt.p99 < 120ms"]


def test_what_was_amiss_before_the_change_counts_only_after_it_has_held() -> None:
    watch = GuardWatch(GUARD, BAD)

    assert looks(watch, *[BAD] * 10) == [None] * 10
    assert looks(watch, GOOD, *[BAD] * NUM_LOOKS)[-1] == "tbt.p99 < 120ms"


def test_what_nobody_has_seen_holds() -> None:
    assert looks(GuardWatch(GUARD, {}), *[{}] * 10) == [None] * 10
    assert looks(GuardWatch(GUARD, {}), *[BAD] * NUM_LOOKS)[-1] == "tbt.p99 < 120ms"


def test_a_guard_of_which_nothing_holds_is_vain() -> None:
    assert GuardWatch(parse_guard("tbt < 120ms"), BAD).is_vain
    assert not GuardWatch(GUARD, BAD).is_vain
    assert not GuardWatch((), BAD).is_vain


def test_a_failure_is_told_with_what_was_seen() -> None:
    assert GUARD[0].failure(BAD) == "tbt.p99 < 120ms fails: 200 ms"
