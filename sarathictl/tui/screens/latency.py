"""The latency screen: how TBT and TTFT are spread against their targets, and by span."""

from textual.app import ComposeResult
from textual.containers import Container

from sarathictl.tui.screens.view_screen import ViewScreen
from sarathictl.tui.widgets.latencies import SpansPanel, TBTPanel, TTFTPanel


class LatencyScreen(ViewScreen):
    """Shows what a percentile alone hides: where the samples lie."""

    CSS_PATH = "lists.tcss"
    command = "latency"

    def __init__(self) -> None:
        self._tbt = TBTPanel(id="tbt")
        self._ttft = TTFTPanel(id="ttft")
        self._spans = SpansPanel(id="spans")
        super().__init__(figures=(self._tbt, self._ttft, self._spans))

    def compose_panels(self) -> ComposeResult:
        with Container(id="pair"):
            yield self._tbt
            yield self._ttft
        yield self.change
        yield self._spans
