"""What is remembered of the load: spans that begin with a slice, and nothing of an engine that is gone."""

import msgspec

from sarathid.protocol.requests import FinishReason
from sarathid.protocol.slo import SLO
from sarathid.protocol.stats import EngineSettings, RequestStats, TokenGap
from sarathid.telemetry.recent_load import SLICE_S, RecentLoad
from tests.factories import make_iteration

SETTINGS = EngineSettings(revision=0, token_budget=128, policy="stall-free", slo=SLO(tbt_s=0.1))


def make_load() -> RecentLoad:
    """Return a load since 100 s, with a token that took 0.2 s at the end of every second from 101 s to 160 s."""
    load = RecentLoad()
    load.begin(None, SETTINGS, 100.0)
    for second in range(1, 61):
        gaps = (TokenGap(1, 0.2),)
        load.observe(make_iteration(start_s=100.0 + second - 0.25, execute_s=0.2, gaps=gaps))
    return load


def make_ended(finished_s: float) -> RequestStats:
    return RequestStats(
        request_id=1,
        client="",
        arrival_s=finished_s - 1.0,
        scheduled_s=None,
        first_token_s=None,
        finished_s=finished_s,
        finish_reason=FinishReason.LENGTH,
        num_prompt_tokens=5,
        num_output_tokens=6,
        num_preemptions=0,
        num_recomputed_tokens=0,
        num_stalls=0,
        tbt_p50_s=None,
        tbt_max_s=None,
    )


def test_a_span_begins_where_a_slice_begins_and_has_all_since() -> None:
    span = make_load().span(last_s=22.0, now_s=160.0)

    assert span is not None
    assert (span.start_s, span.end_s, SLICE_S) == (140.0, 160.0, 5.0)
    assert span.observed.num_stalls == 20
    assert span.observed.tokens_per_s == 1.0


def test_a_longer_span_than_is_known_begins_with_the_engine() -> None:
    span = make_load().span(last_s=600.0, now_s=160.0)

    assert span is not None
    assert (span.start_s, span.known_since_s) == (100.0, 100.0)
    assert span.observed.num_stalls == 60


def test_nothing_is_told_of_a_quiet_time_or_of_an_engine_that_is_gone() -> None:
    load = make_load()
    assert load.span(last_s=30.0, now_s=500.0) is None

    load.observe(make_ended(150.0))
    load.begin(None, msgspec.structs.replace(SETTINGS, token_budget=64), 170.0)
    assert load.span(last_s=100.0, now_s=180.0) is None
    load.observe(make_iteration(start_s=171.0, gaps=(TokenGap(1, 0.05),)))
    span = load.span(last_s=100.0, now_s=180.0)
    assert span is not None
    assert (span.start_s, span.current.token_budget, span.ended) == (170.0, 64, ())
