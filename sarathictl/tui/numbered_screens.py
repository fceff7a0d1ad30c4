"""The numbered screens, each loaded when it is first shown, since the first picture needs none but its own."""

from importlib import import_module

from sarathictl.tui.screens.view_screen import ViewScreen

SCREENS = {
    "live": "LiveScreen",
    "requests": "RequestsScreen",
    "stalls": "StallsScreen",
    "latency": "LatencyScreen",
    "tuning": "TuningScreen",
    "fleet": "FleetScreen",
    "events": "EventsScreen",
}


def make_screen(name: str) -> ViewScreen:
    """Return a new screen; its module under `screens` has its name."""
    screen = getattr(import_module(f"sarathictl.tui.screens.{name}"), SCREENS[name])()
    assert isinstance(screen, ViewScreen)
    return screen
