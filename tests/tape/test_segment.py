"""Segments: the records of an engine go in, and the same ones come out of each segment alone."""

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarathid.errors import CodecError
from sarathid.protocol.control import RequestState
from sarathid.protocol.stats import (
    FirstToken,
    IterationScheduled,
    IterationStats,
    RequestArrival,
    StreamRecord,
    TokenGap,
)
from sarathid.tape.frames import Frame, FrameKind
from sarathid.tape.key_frame import KeyFrame, RequestRow
from sarathid.tape.packing import Unpacker
from sarathid.tape.segment import COLUMNS, OpenSegment, Segment
from tests.factories import make_iteration
from tests.sarathictl.records import START_S, PaperEngine, make_info, make_settings

ROUNDING_S = 3e-6
KEY = KeyFrame(time_s=START_S, daemon_state="ready", info=make_info(), settings=make_settings())


def recorded(records: Iterable[StreamRecord], key: KeyFrame = KEY) -> tuple[StreamRecord, ...]:
    segment = OpenSegment(key)
    for record in records:
        segment.add(record)
    return Segment.of(segment.seal(), Unpacker(COLUMNS)).records


def gaps_of(stats: StreamRecord) -> dict[int, float]:
    assert isinstance(stats, IterationStats)
    return {gap.request_id: gap.tbt_s for gap in stats.gaps}


@pytest.mark.parametrize("policy", ["stall-free", "prefill-first"])
def test_an_engines_records_come_back_with_every_gap(policy: str) -> None:
    told = [
        record
        for record in PaperEngine(make_settings(256, policy=policy)).run(START_S + 12.0)
        if not isinstance(record, IterationScheduled)
    ]

    back = recorded(told)

    assert [type(record) for record in back] == [type(record) for record in told]
    pairs = [(old, new) for old, new in zip(told, back, strict=True) if isinstance(old, IterationStats)]
    assert all(gaps_of(new) == pytest.approx(gaps_of(old), abs=ROUNDING_S) for old, new in pairs)
    assert recorded(back) == back  # in whole microseconds nothing is lost


def test_what_stands_where_a_segment_begins_tells_its_gaps() -> None:
    row = RequestRow(request_id=7, state=RequestState.DECODE, last_token_s=START_S - 0.25)
    stats = make_iteration(start_s=START_S, execute_s=0.05, gaps=(TokenGap(7, 0.3),))

    (back,) = recorded([stats], msgspec.structs.replace(KEY, requests=(row,)))

    assert gaps_of(back) == pytest.approx({7: 0.3}, abs=ROUNDING_S)


@st.composite
def some_iterations(draw: st.DrawFn) -> list[IterationStats]:
    """Return iterations in which requests come, are left out, and end at will."""
    newest_s: dict[int, float] = {}
    iterations = []
    now_s = START_S
    for number in range(draw(st.integers(1, 8))):
        execute_s = draw(st.integers(1_000, 400_000)) / 1e6
        served = draw(st.sets(st.sampled_from(sorted(newest_s)))) if newest_s else set()
        joined = draw(st.sets(st.integers(1, 12), max_size=3)) - newest_s.keys()
        told = draw(st.sets(st.sampled_from(sorted(joined)))) if joined else set()  # the others resume: a gap is first
        end_s = now_s + execute_s
        gaps = [TokenGap(request_id, end_s - newest_s[request_id]) for request_id in served]
        gaps += [TokenGap(request_id, 1.5) for request_id in sorted(joined - told)]
        ended = draw(st.sets(st.sampled_from(sorted(served)))) if served else set()
        iterations.append(
            make_iteration(
                number,
                start_s=now_s,
                execute_s=execute_s,
                gaps=tuple(gaps),
                first_tokens=tuple(FirstToken(request_id, 0.5) for request_id in told),
                finished=tuple(ended),
            )
        )
        newest_s |= dict.fromkeys(served | joined, end_s)
        for request_id in ended:
            del newest_s[request_id]
        now_s = end_s
    return iterations


@settings(max_examples=60, deadline=None)
@given(some_iterations())
def test_gaps_come_back_whoever_comes_stays_out_or_ends(iterations: list[IterationStats]) -> None:
    for told, back in zip(iterations, recorded(iterations), strict=True):
        assert gaps_of(back) == pytest.approx(gaps_of(told), abs=ROUNDING_S)


def test_no_client_is_lost_and_nothing_else_of_a_request_is_told() -> None:
    arrival = RequestArrival(request_id=3, client="web", arrival_s=START_S, num_prompt_tokens=9, max_tokens=None)

    assert recorded([arrival]) == (arrival,)


def test_a_kind_of_record_that_is_not_known_is_passed_over() -> None:
    segment = OpenSegment(KEY)
    segment.add(make_iteration(start_s=START_S))
    body = segment.seal().body.replace(b"IterationStats", b"IterationNovel")

    assert Segment.of(Frame.of(FrameKind.SEGMENT, START_S, body), Unpacker(COLUMNS)).records == ()


def test_a_frame_that_holds_no_segment_is_refused() -> None:
    with pytest.raises(CodecError):
        Segment.of(Frame.of(FrameKind.SEGMENT, 0.0, b"\xc0"), Unpacker(COLUMNS))
    with pytest.raises(CodecError):
        Segment.of(Frame.of(FrameKind.SEGMENT, 0.0, b"\x81\xa3key\x00"), Unpacker(COLUMNS))
