"""The fleet screen: every daemon that has a name, and what this one computes on."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container

from sarathictl.client.fleet import Answer
from sarathictl.tui.screens.view_screen import ViewScreen
from sarathictl.tui.widgets.devices import KVCachePanel, StagesPanel
from sarathictl.tui.widgets.fleet import FleetPanel


class FleetScreen(ViewScreen):
    """Compares daemons, and shows the KV cache and the pipeline of the one that is watched."""

    CSS_PATH = "lists.tcss"
    command = "fleet"
    shows_fleet = True

    def __init__(self) -> None:
        self._fleet = FleetPanel(id="fleet")
        self._kv_cache = KVCachePanel(id="kv-cache")
        self._stages = StagesPanel(id="stages")
        super().__init__(figures=(self._fleet, self._kv_cache, self._stages))

    def compose_panels(self) -> ComposeResult:
        yield self._fleet
        with Container(id="pair"):
            yield self._kv_cache
            yield self._stages
        yield self.change

    def see_fleet(self, answers: Sequence[Answer]) -> None:
        self._fleet.see(answers)
