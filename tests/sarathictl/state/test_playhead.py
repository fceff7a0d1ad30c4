"""Which moment is shown: now, held, stepped to, or played."""

import pytest

from sarathictl.state.playhead import Playhead
from sarathid.clock import VirtualClock
from sarathid.protocol.stats import IterationStats
from tests.sarathictl.records import START_S
from tests.sarathictl.state.test_engine_log import SPAN_S, load_all, recorded, take_all, told

ENDS_S = [record.end_s for record in told() if isinstance(record, IterationStats)]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START_S + SPAN_S + 1.0)


@pytest.fixture
def live(clock: VirtualClock) -> Playhead:
    return Playhead(take_all(told()), clock)


@pytest.fixture
def tape(clock: VirtualClock) -> Playhead:
    playhead = Playhead(load_all(recorded()), clock, is_recording=True)
    playhead.tick()
    return playhead


def test_now_moves_on_until_it_is_held(live: Playhead, clock: VirtualClock) -> None:
    clock.advance(1.0)
    assert live.is_live
    assert live.view().now_s == clock.now_s()
    live.toggle()
    held_s = clock.now_s()
    clock.advance(5.0)
    assert live.view().now_s == held_s
    live.toggle()
    assert live.view().now_s == clock.now_s()


def test_steps_go_from_the_end_of_one_iteration_to_another(live: Playhead) -> None:
    live.step(-1)
    assert live.view().now_s == ENDS_S[-1]
    live.step(-1)
    live.step(-1)
    live.step(1)
    assert live.view().now_s == ENDS_S[-2]
    assert live.view().samples[-1].end_s == ENDS_S[-2]


def test_a_moment_is_gone_to_within_what_there_is(tape: Playhead) -> None:
    span_s = tape.seal_span_s()
    assert span_s is not None
    start_s, end_s = span_s
    tape.to_moment(start_s + 1.5)
    assert tape.now_s == start_s + 1.5
    tape.to_moment(start_s - 100.0)
    assert tape.now_s == start_s
    assert end_s == pytest.approx(start_s + SPAN_S, abs=1.0)


def test_shifts_stay_within_what_there_is(live: Playhead) -> None:
    live.shift(-1.0)
    assert live.now_s == pytest.approx(START_S + SPAN_S)
    live.shift(-1e6)
    assert live.transport is not None
    assert live.now_s == live.transport.start_s
    live.shift(1e6)
    assert live.now_s == live.transport.end_s
    live.to_end()
    assert live.is_live


def test_the_start_the_stalls_and_the_changes_are_a_key_away(live: Playhead) -> None:
    live.to_change(-1)
    assert live.now_s == START_S + 12.0
    assert live.transport is not None
    later = [stall_s for stall_s in live.transport.stalls_s if stall_s > START_S + 12.0]
    live.to_stall(1)
    assert live.now_s == later[0]
    live.to_stall(-1)
    assert live.now_s < START_S + 12.0
    live.to_start()
    assert live.now_s == live.transport.start_s


def test_without_records_there_is_nothing_to_go_back_to(clock: VirtualClock) -> None:
    empty = Playhead(take_all(()), clock)
    for _ in range(2):
        empty.step(-1)
        empty.to_stall(1)
    assert empty.view().samples == ()


def test_a_recording_plays_from_its_start_at_its_speed(tape: Playhead, clock: VirtualClock) -> None:
    start_s = tape.now_s
    clock.advance(2.0)
    tape.tick()
    assert tape.now_s == pytest.approx(start_s + 2.0)
    for _ in range(2):
        tape.change_speed(1)
    clock.advance(1.0)
    tape.tick()
    assert tape.now_s == pytest.approx(start_s + 7.0)
    tape.toggle()
    clock.advance(1.0)
    tape.tick()
    assert tape.now_s == pytest.approx(start_s + 7.0)
    assert not tape.is_live


def test_a_recording_stops_at_its_end(tape: Playhead, clock: VirtualClock) -> None:
    clock.advance(1e4)
    tape.tick()
    transport = tape.transport
    assert transport is not None
    assert (transport.time_s, transport.is_playing) == (transport.end_s, False)


def test_a_loop_is_played_again_and_again(tape: Playhead, clock: VirtualClock) -> None:
    start_s = tape.now_s
    tape.shift(2.0)
    tape.mark_loop()
    tape.shift(3.0)
    tape.mark_loop()
    assert tape.transport is not None
    assert tape.transport.loop == (start_s + 2.0, start_s + 5.0)
    tape.toggle()
    clock.advance(0.5)
    tape.tick()
    assert tape.now_s == pytest.approx(start_s + 2.0)
    tape.mark_loop()
    assert not tape.transport.loop
