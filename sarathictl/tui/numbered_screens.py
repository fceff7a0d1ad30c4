"""The numbered screens, each loaded when it is first shown, since the first picture needs none but its own."""

from importlib import import_module

from sarathictl.state.opening import View
from sarathictl.tui.screens.view_screen import ViewScreen

SCREENS = {
    View.LIVE: "LiveScreen",
    View.REQUESTS: "RequestsScreen",
    View.STALLS: "StallsScreen",
    View.LATENCY: "LatencyScreen",
    View.TUNING: "TuningScreen",
    View.FLEET: "FleetScreen",
    View.EVENTS: "EventsScreen",
}


def make_screen(view: View) -> ViewScreen:
    """Return a new screen; its module under `screens` has its name."""
    screen = getattr(import_module(f"sarathictl.tui.screens.{view}"), SCREENS[view])()
    assert isinstance(screen, ViewScreen)
    return screen
