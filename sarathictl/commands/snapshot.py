"""What the commands that print a panel share: the daemon as one view of it shows it."""

from sarathictl.invocation import Invocation
from sarathictl.state.engine_state import EngineState
from sarathictl.state.engine_view import EngineView
from sarathid.protocol.control import MAX_HISTORY, Snapshot


def snapshot_now(invocation: Invocation) -> Snapshot:
    """Return everything that the daemon remembers."""
    with invocation.connect() as client:
        return client.snapshot(MAX_HISTORY)


def view_of(snapshot: Snapshot) -> EngineView:
    """Return a snapshot as the screens show it, at the moment of the daemon's clock at which it was taken."""
    return EngineState.from_snapshot(snapshot, snapshot.status.time_s).view(snapshot.status.time_s)


def view_now(invocation: Invocation) -> EngineView:
    """Return what the daemon remembers, as the screens show it."""
    return view_of(snapshot_now(invocation))
