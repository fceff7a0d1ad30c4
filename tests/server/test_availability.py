"""Whether requests are taken, through pauses and drains."""

from sarathid.protocol.control import DaemonState
from sarathid.server.availability import Availability


def ready() -> Availability:
    availability = Availability()
    availability.become(DaemonState.READY, "ready in 1 s")
    return availability


def test_a_paused_daemon_takes_nothing_and_then_again() -> None:
    availability = ready()
    assert availability.become(DaemonState.PAUSED, "paused")
    assert not availability.takes_requests

    availability.resume()
    assert (availability.state, availability.reason) == (DaemonState.READY, "ready in 1 s")


def test_what_becomes_of_the_engine_shows_when_a_pause_ends() -> None:
    availability = ready()
    availability.become(DaemonState.PAUSED, "paused")
    assert not availability.become(DaemonState.RESTARTING, "the engine is gone")
    assert not availability.takes_requests

    availability.resume()
    assert (availability.state, availability.reason) == (DaemonState.RESTARTING, "the engine is gone")


def test_a_drain_ends_a_pause_and_nothing_ends_a_drain() -> None:
    availability = ready()
    availability.become(DaemonState.PAUSED, "paused")
    assert availability.become(DaemonState.DRAINING, "draining")
    assert not availability.become(DaemonState.READY, "ready in 2 s")
    assert availability.state is DaemonState.DRAINING
