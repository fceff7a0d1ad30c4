"""What the commands that print a panel share: the daemon as one view of it shows it."""

from sarathictl.invocation import Invocation
from sarathictl.state.engine_state import EngineState
from sarathictl.state.engine_view import EngineView
from sarathid.protocol.control import MAX_HISTORY, GetSnapshot, Snapshot


def view_now(invocation: Invocation) -> EngineView:
    """Return what the daemon remembers, as the screens show it, at this moment of its clock."""
    with invocation.connect() as client:
        snapshot = client.request(GetSnapshot(num_iterations=MAX_HISTORY), Snapshot)
    return EngineState.from_snapshot(snapshot, snapshot.status.time_s).view(snapshot.status.time_s)
