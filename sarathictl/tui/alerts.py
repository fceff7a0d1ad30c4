"""What the console does when a figure rises above its threshold: flash, ring if asked, and run a command."""

from collections.abc import Callable

from sarathictl.client.alert_command import AlertCommand
from sarathictl.client.stats_stream import Link, LinkState
from sarathictl.output import SCHEMA_VERSION
from sarathictl.state.alerts import Alert, AlertWatch
from sarathictl.state.engine_view import EngineView


class Alerts:
    """Looks at live views, and tells of each alert once."""

    def __init__(self, watch: AlertWatch, *, rings: bool = False, command: AlertCommand | None = None) -> None:
        self._watch = watch
        self._rings = rings
        self._command = command

    def look(self, view: EngineView, link: Link, ring: Callable[[], None], wall_offset_s: float) -> tuple[Alert, ...]:
        """Return what is above its threshold; what a lost daemon said last is no news."""
        if link.state is LinkState.LIVE:
            for alert in self._watch.look(view):
                if self._rings:
                    ring()
                if self._command is not None:
                    self._command.tell(_event(alert, view, wall_offset_s))
        return self._watch.raised

    def take_failure(self) -> str | None:
        """Return why the command failed, once."""
        return None if self._command is None else self._command.take_failure()


def _event(alert: Alert, view: EngineView, wall_offset_s: float) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "at_s": alert.time_s + wall_offset_s,
        "name": alert.name,
        "value": alert.value,
        "bound": alert.bound,
        "words": alert.words,
        "model": view.info.model if view.info else None,
        "revision": view.settings.revision if view.settings else None,
    }
