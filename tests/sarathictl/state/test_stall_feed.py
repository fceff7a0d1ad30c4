"""The feed of stalls: which are told together."""

from sarathictl.state.stall_feed import MAX_STALLS, StallFeed
from sarathid.protocol.stats import StallCause, StallEvent, TokenGap


def make_stall(request_id: int, gap_s: float, time_s: float, cause: StallCause = StallCause.EVENT_LOOP) -> StallEvent:
    return StallEvent(
        iteration=7,
        time_s=time_s,
        target_s=0.1,
        victims=(TokenGap(request_id, gap_s),),
        cause=cause,
        parts={cause: gap_s},
        is_delivery=cause is StallCause.EVENT_LOOP,
    )


def feed_of(*stalls: StallEvent) -> StallFeed:
    feed = StallFeed()
    for stall in stalls:
        feed.append(stall)
    return feed


def test_late_deliveries_of_one_moment_are_one_stall_with_its_victims_worst_first() -> None:
    feed = feed_of(make_stall(1, 0.2, 10.0), make_stall(2, 0.4, 10.1), make_stall(3, 0.3, 10.2))
    (stall,) = feed.newest_first
    assert stall.victims == (TokenGap(2, 0.4), TokenGap(3, 0.3), TokenGap(1, 0.2))
    assert (stall.worst_gap_s, stall.parts) == (0.4, {StallCause.EVENT_LOOP: 0.4})


def test_a_request_that_waits_twice_in_one_moment_is_told_once_with_its_longer_wait() -> None:
    (stall,) = feed_of(make_stall(1, 0.3, 10.0), make_stall(1, 0.2, 10.2)).newest_first
    assert stall.victims == (TokenGap(1, 0.3),)


def test_late_deliveries_of_different_moments_stay_apart() -> None:
    assert len(feed_of(make_stall(1, 0.2, 10.0), make_stall(2, 0.4, 11.0)).newest_first) == 2


def test_stalls_of_the_engine_are_never_joined() -> None:
    feed = feed_of(*(make_stall(number, 0.2, 10.0, StallCause.PREFILL) for number in (1, 2)))
    assert [stall.victims[0].request_id for stall in feed.newest_first] == [2, 1]
    assert feed.num_since(9.0) == 2
    assert feed.num_since(10.0) == 0


def test_the_oldest_stalls_are_forgotten() -> None:
    feed = feed_of(*(make_stall(1, 0.2, float(second)) for second in range(MAX_STALLS + 5)))
    assert len(feed.newest_first) == MAX_STALLS
    assert feed.newest_first[-1].time_s == 5.0
