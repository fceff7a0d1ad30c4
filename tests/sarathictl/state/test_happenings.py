"""What is told of as an event, and in which words."""

import msgspec

from sarathictl.state.happenings import MAX_HAPPENINGS, HappeningLog, Kind, happening_of, newest_first
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import IterationStats, LifeCycle, Overload, RequestStats, StallEvent, StreamRecord
from tests.sarathictl.records import START_S, PaperEngine, make_settings
from tests.sarathictl.tui.bench import changed

RECORDS = list(PaperEngine(make_settings(256)).run(START_S + 8.0))
ITERATION = next(record for record in RECORDS if isinstance(record, IterationStats))
STALL = next(record for record in RECORDS if isinstance(record, StallEvent))


def test_the_ordinary_course_of_things_is_no_event() -> None:
    assert [happening_of(record) for record in RECORDS if not isinstance(record, StallEvent)] == [None] * sum(
        not isinstance(record, StallEvent) for record in RECORDS
    )


def test_each_kind_has_its_words() -> None:
    overload = Overload(
        time_s=1.0, iteration=1, is_overloaded=True, num_decodes=90, most_decodes=80, decode_s=0.12, planned_s=0.1
    )
    preempted = msgspec.structs.replace(ITERATION, preempted=tuple(range(1, 9)))
    told: dict[Kind, tuple[StreamRecord, str]] = {
        Kind.CHANGE: (
            changed(make_settings(64, revision=3)),
            "r3 budget 64, stall-free, TBT target 100 ms, TTFT target 2 s by ops",
        ),
        Kind.SLO: (overload, "90 decodes alone take 120 ms, 100 ms are planned; at most 80 fit"),
        Kind.PREEMPT: (preempted, "preempted 1, 2, 3, 4, 5, 6, 2 more: the KV cache was full"),
        Kind.ENGINE: (LifeCycle(time_s=1.0, state="restarting", message="it\x1b died"), "restarting: it· died"),
        Kind.STALL: (STALL, "stalled"),
    }
    for kind, (record, words) in told.items():
        happening = happening_of(record)
        assert happening is not None
        assert happening.kind is kind
        assert words in happening.words


def test_a_request_that_failed_is_an_error_and_one_that_ended_is_none() -> None:
    ended = next(
        record for record in PaperEngine(num_streams=1).run(START_S + 200.0) if isinstance(record, RequestStats)
    )
    assert happening_of(ended) is None
    failed = happening_of(msgspec.structs.replace(ended, finish_reason=FinishReason.TIMEOUT))
    assert failed is not None
    assert failed.words == f"request {ended.request_id} of paper ended by timeout, {ended.num_output_tokens} tokens out"


def test_the_log_is_bounded_and_leaves_stalls_to_their_feed() -> None:
    log = HappeningLog()
    for number in range(MAX_HAPPENINGS + 3):
        log.append(LifeCycle(time_s=float(number), state="ready", message=""))
    log.append(STALL)
    assert len(log.oldest_first) == MAX_HAPPENINGS
    times = [happening.time_s for happening in newest_first(log.oldest_first, [STALL])]
    assert times == sorted(times, reverse=True)
    assert times[0] == max(STALL.time_s, MAX_HAPPENINGS + 2.0)
