"""When a terminal takes less than it is sent: writes that wait, and a network that gets much all the time."""

import pytest

from sarathictl.state.outflow import SPAN_S, Outflow
from sarathid.clock import VirtualClock


def write(outflow: Outflow, clock: VirtualClock, *, taking_s: float = 0.0, num_bytes: int = 1000) -> None:
    outflow.begin()
    clock.advance(taking_s)
    outflow.end(num_bytes)


def test_a_terminal_that_takes_everything_at_once_is_fast() -> None:
    clock = VirtualClock()
    outflow = Outflow(clock)
    for _ in range(100):
        write(outflow, clock, taking_s=0.001, num_bytes=100_000)
        clock.advance(0.25)
        assert not outflow.is_too_much


def test_writes_that_wait_are_too_much_and_are_forgotten_in_time() -> None:
    clock = VirtualClock()
    outflow = Outflow(clock)
    write(outflow, clock, taking_s=0.6)
    assert not outflow.is_too_much
    write(outflow, clock, taking_s=0.6)
    assert outflow.is_too_much
    clock.advance(SPAN_S)
    assert not outflow.is_too_much


def test_a_write_that_waits_still_counts_from_when_it_began() -> None:
    clock = VirtualClock()
    outflow = Outflow(clock)
    outflow.begin()
    clock.advance(0.05)
    assert not outflow.is_stuck
    clock.advance(0.45)
    assert outflow.is_stuck
    assert not outflow.is_too_much
    clock.advance(0.6)
    assert outflow.is_too_much
    outflow.end(10)
    clock.advance(5.0)
    assert not outflow.is_stuck


@pytest.mark.parametrize("is_remote", [True, False])
def test_only_a_network_has_to_be_spared_and_only_from_what_goes_on(is_remote: bool) -> None:
    clock = VirtualClock()
    outflow = Outflow(clock, is_remote=is_remote)
    for _ in range(10):
        write(outflow, clock, num_bytes=30_000)
        assert not outflow.is_too_much
        clock.advance(0.999)
    clock.advance(0.01)
    assert outflow.is_too_much is is_remote
    outflow.forget()
    assert not outflow.is_too_much
