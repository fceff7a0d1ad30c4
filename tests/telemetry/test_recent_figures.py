import msgspec
import pytest

from sarathid.protocol.stats import FirstToken, StallCause, TokenGap
from sarathid.slo.guard import Metric
from sarathid.telemetry.recent_figures import RecentFigures
from tests.factories import make_iteration
from tests.telemetry.test_board import make_stall


def observed() -> RecentFigures:
    """Return what was seen of a request that got 100 tokens in 10 s, all of them 20 ms apart but one."""
    recent = RecentFigures(60.0)
    first = make_iteration(0, start_s=90.0, execute_s=0.0)
    recent.observe(msgspec.structs.replace(first, first_tokens=(FirstToken(1, 0.4),)))
    for number in range(1, 100):
        gap_s = 0.05 if number == 50 else 0.02
        recent.observe(make_iteration(number, start_s=90.0 + 0.1 * number, execute_s=0.0, gaps=(TokenGap(1, gap_s),)))
    return recent


def test_metrics_are_of_the_time_since_the_first_iteration() -> None:
    recent = observed()
    recent.observe(make_stall(StallCause.PREFILL, 5))
    values = recent.by_metric(now_s=100.0)

    assert values[Metric.TOKENS_PER_S] == pytest.approx(10.0)
    assert values[Metric.TBT_P50] == pytest.approx(0.02, rel=0.02)
    assert values[Metric.TBT_MAX] == 0.05
    assert values[Metric.TTFT_P95] == 0.4
    assert values[Metric.STALLS_PER_S] == 0.0  # those were at 1 s, long ago


def test_stalls_count_by_victim() -> None:
    recent = observed()
    stall = msgspec.structs.replace(make_stall(StallCause.PREFILL, 5), time_s=99.0)
    recent.observe(stall)

    assert recent.by_metric(now_s=100.0)[Metric.STALLS_PER_S] == pytest.approx(0.5)


def test_only_what_the_engine_made_too_late_is_late() -> None:
    recent = observed()
    for is_delivery in (False, True):
        stall = make_stall(StallCause.ENGINE_PAUSE, 5)
        recent.observe(msgspec.structs.replace(stall, time_s=99.0, is_delivery=is_delivery))

    assert recent.late.count(now_s=100.0) == 5


def test_what_was_never_seen_has_no_value() -> None:
    assert RecentFigures(60.0).by_metric(1.0) == {}
    idle = observed().by_metric(now_s=1000.0)
    assert idle == {Metric.STALLS_PER_S: 0.0, Metric.TOKENS_PER_S: 0.0}
