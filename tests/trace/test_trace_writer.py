"""A trace is read back by Perfetto's own message types: lanes, slices that nest, counters, and arrows."""

import io
from collections.abc import Iterable

import msgspec

from sarathid.protocol.control import RequestState
from sarathid.protocol.requests import FinishReason
from sarathid.protocol.stats import (
    ChunkStats,
    FirstToken,
    LifeCycle,
    RequestArrival,
    RequestStats,
    StageTime,
    StallCause,
    StallEvent,
    TokenGap,
)
from sarathid.tape.key_frame import KeyFrame, RequestRow
from sarathid.trace.trace_writer import NUM_AHEAD, Told, TraceWriter
from tests.factories import make_iteration
from tests.trace.perfetto_trace import PerfettoTrace, read_trace

MS = 1_000_000


def traced(records: Iterable[Told], wall_offset_s: float | None = None) -> PerfettoTrace:
    file = io.BytesIO()
    writer = TraceWriter(file, 0.0, wall_offset_s)
    for record in records:
        writer.add(record)
    writer.close()
    return read_trace(file.getvalue())


def make_arrival(request_id: int, arrival_s: float, client: str = "") -> RequestArrival:
    return RequestArrival(request_id=request_id, client=client, arrival_s=arrival_s, num_prompt_tokens=9, max_tokens=2)


def make_stats(request_id: int, finished_s: float) -> RequestStats:
    return RequestStats(
        request_id=request_id,
        client="",
        arrival_s=0.5,
        scheduled_s=1.0,
        first_token_s=1.5,
        finished_s=finished_s,
        finish_reason=FinishReason.LENGTH,
        num_prompt_tokens=9,
        num_output_tokens=2,
        num_preemptions=0,
        num_recomputed_tokens=0,
        num_stalls=0,
        tbt_p50_s=None,
        tbt_max_s=None,
    )


def make_stall(iteration: int, time_s: float, *victims: TokenGap, chunk: ChunkStats | None = None) -> StallEvent:
    return StallEvent(
        iteration=iteration,
        time_s=time_s,
        target_s=0.1,
        victims=victims,
        cause=StallCause.PREFILL if chunk else StallCause.EVENT_LOOP,
        parts={},
        chunk=chunk,
        chunk_iteration=iteration if chunk else None,
        is_delivery=chunk is None,
    )


def shape(trace: PerfettoTrace, lane: str) -> list[tuple[int, str, int, int]]:
    """Return depth, name, begin and end in milliseconds of the slices of a lane."""
    return [(found.depth, found.name, found.start_ns // MS, found.end_ns // MS) for found in trace.on(lane)]


def test_a_request_waits_is_computed_chunk_by_chunk_and_decodes() -> None:
    chunks = ChunkStats(7, 0, 5, 9), ChunkStats(7, 5, 4, 9)
    trace = traced(
        [
            make_arrival(7, 0.5, "web-7"),
            make_iteration(1, start_s=1.0, execute_s=0.5, chunks=chunks[:1]),
            make_iteration(2, start_s=1.5, execute_s=0.5, chunks=chunks[1:], first_tokens=(FirstToken(7, 1.5),)),
            make_iteration(3, start_s=2.0, execute_s=0.5, gaps=(TokenGap(7, 0.5),), finished=(7,)),
            make_stats(7, 2.5),
        ]
    )

    assert sorted(shape(trace, "request 7 of web-7"), key=lambda found: (found[2], found[0])) == [
        (0, "queue", 500, 1000),
        (0, "prefill", 1000, 2000),
        (1, "tokens 0 to 5 of 9", 1000, 1500),
        (1, "tokens 5 to 9 of 9", 1500, 2000),
        (0, "decode", 2000, 2500),
        (0, "ended: length", 2500, 2500),
    ]
    assert trace.named("ended: length")[0].facts["ttft_ms"] == 1000.0
    assert [found.path[0] for found in trace.on("request 7 of web-7")] == ["requests"] * 6


def test_an_arrow_leads_from_each_victim_to_the_chunk_that_froze_it() -> None:
    chunk = ChunkStats(9, 0, 900, 900)
    victims = TokenGap(1, 0.4), TokenGap(2, 0.4)
    first = FirstToken(1, 0.2), FirstToken(2, 0.2)
    trace = traced(
        [
            make_iteration(1, start_s=0.0, execute_s=0.1, chunks=(ChunkStats(1, 0, 4, 4), ChunkStats(2, 0, 4, 4))),
            make_iteration(2, start_s=0.1, execute_s=0.1, first_tokens=first),
            make_iteration(3, start_s=0.2, execute_s=0.4, chunks=(chunk,), gaps=victims),
            make_stall(3, 0.6, *victims, chunk=chunk),
        ]
    )

    assert [(victim.lane, victim.name, culprit.lane, culprit.name) for victim, culprit in trace.arrows] == [
        ("request 1", "stall 400 ms", "request 9", "tokens 0 to 900 of 900"),
        ("request 2", "stall 400 ms", "request 9", "tokens 0 to 900 of 900"),
    ]
    stall = trace.named("stall 400 ms")[0]
    assert (stall.depth, stall.start_ns // MS, stall.end_ns // MS) == (1, 200, 600)
    assert stall.facts["cause"] == "prefill"


def test_a_request_that_was_preempted_shows_it_and_its_stall_is_a_moment() -> None:
    gap = TokenGap(1, 2.0)
    trace = traced(
        [
            make_iteration(1, start_s=0.0, execute_s=0.5, first_tokens=(FirstToken(1, 0.5),)),
            make_iteration(2, start_s=0.5, execute_s=1.0, preempted=(1,)),
            make_iteration(3, start_s=1.5, execute_s=1.0, chunks=(ChunkStats(1, 0, 5, 5),), gaps=(gap,)),
            make_stall(3, 2.5, gap, chunk=ChunkStats(1, 0, 5, 5)),
        ]
    )

    assert sorted(shape(trace, "request 1"), key=lambda found: (found[2], found[0])) == [
        (0, "decode", 500, 500),
        (0, "preempted", 500, 1500),
        (0, "prefill", 1500, 2500),
        (1, "tokens 0 to 5 of 5", 1500, 2500),
        (0, "decode", 2500, 2500),
        (1, "stall 2000 ms", 2500, 2500),
    ]


def test_stalls_that_end_with_one_iteration_for_different_causes_are_all_shown() -> None:
    slow, slower = TokenGap(1, 0.4), TokenGap(2, 0.5)
    first_tokens = tuple(FirstToken(victim.request_id, 0.5) for victim in (slow, slower))
    trace = traced(
        [
            make_iteration(1, start_s=0.0, execute_s=0.5, first_tokens=first_tokens),
            make_iteration(2, start_s=0.5, execute_s=0.5, gaps=(slow, slower)),
            msgspec.structs.replace(make_stall(2, 1.0, slower), is_delivery=False),
            msgspec.structs.replace(make_stall(2, 1.0, slow), is_delivery=False),
        ]
    )

    assert [len(trace.named(f"stall {victim.tbt_s * 1e3:.0f} ms")) for victim in (slow, slower)] == [1, 1]


def test_a_late_delivery_is_a_moment_in_the_lane_of_its_request() -> None:
    trace = traced(
        [
            make_iteration(1, start_s=0.0, execute_s=0.5, first_tokens=(FirstToken(1, 0.5),)),
            make_stall(1, 0.7, TokenGap(1, 0.3)),
        ]
    )

    (late,) = trace.named("stall 300 ms")
    assert (late.lane, late.start_ns, late.end_ns) == ("request 1", 700 * MS, 700 * MS)


def test_stages_are_busy_or_in_a_bubble_and_iterations_that_overlap_get_lanes_of_their_own() -> None:
    def staged(number: int, start_s: float) -> Told:
        iteration = make_iteration(number, start_s=start_s, execute_s=0.05)
        stages = StageTime(start_s, 0.02, 0.0), StageTime(start_s + 0.03, 0.02, 0.01)
        return msgspec.structs.replace(iteration, stages=stages)

    trace = traced([staged(1, 0.0), staged(2, 0.03), staged(3, 0.06)])

    assert len(trace.on("iterations")) == 3
    assert shape(trace, "stage 0") == [(0, "1 decodes + 0 prefill", at, at + 20) for at in (0, 30, 60)]
    assert shape(trace, "stage 1")[:2] == [(0, "bubble", 20, 30), (0, "1 decodes + 0 prefill", 30, 50)]
    assert trace.on("stage 1")[0].path == ("engine", "stage 1")


def test_counters_have_units_and_a_value_only_where_it_changes() -> None:
    gaps = (TokenGap(1, 0.05),), (TokenGap(1, 0.07),)
    trace = traced([make_iteration(n, start_s=n * 0.05, execute_s=0.05, gaps=gaps[n]) for n in range(2)])

    assert trace.counters["token budget"] == [(0, 128.0)]
    assert [value for _, value in trace.counters["longest TBT"]] == [50.0, 70.0]
    assert trace.units["longest TBT"] == "ms"


def test_what_stood_when_a_recording_began_is_there_from_then_on() -> None:
    row = RequestRow(request_id=4, state=RequestState.DECODE, arrival_s=1.0, client="web")
    trace = traced(
        [
            KeyFrame(time_s=10.0, requests=(row,)),
            LifeCycle(time_s=10.5, state="draining", message="asked to"),
            make_iteration(1, start_s=11.0, execute_s=0.5, gaps=(TokenGap(4, 0.5),)),
        ],
        wall_offset_s=1e9,
    )

    assert shape(trace, "request 4 of web") == [(0, "decode", 10_000, 11_500)]
    assert shape(trace, "events") == [(0, "draining", 10_500, 10_500)]
    assert trace.wall_offset_ns == 1e18


def test_records_that_are_held_back_are_bounded() -> None:
    file = io.BytesIO()
    writer = TraceWriter(file)
    for number in range(NUM_AHEAD):
        writer.add(make_iteration(number, start_s=number * 0.1))
    empty = len(file.getvalue())
    writer.add(make_iteration(NUM_AHEAD, start_s=NUM_AHEAD * 0.1))

    assert len(file.getvalue()) > empty
