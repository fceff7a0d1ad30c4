"""Latencies: two distributions and a table by span."""

from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.distribution import draw_distribution
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.latencies import draw_latencies
from sarathictl.tui.renderables.line import title
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.widgets.panel import Panel

_TBT_SPAN = 2  # of `EngineView.tbt`: five minutes


class TBTPanel(Panel):
    """Shows how the times between tokens of the last minutes are spread."""

    def title_of(self, view: EngineView, look: Look) -> Text:
        return title("TBT", _words(view.tbt[_TBT_SPAN].span_s, view.slo.tbt_s), look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del watch
        return draw_distribution(view.tbt[_TBT_SPAN], view.slo.tbt_s, width, height, look)


class TTFTPanel(Panel):
    """Shows how the times to a first token of the last minutes are spread."""

    def title_of(self, view: EngineView, look: Look) -> Text:
        return title("TTFT", _words(view.ttft.span_s, view.slo.ttft_s), look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del watch
        return draw_distribution(view.ttft, view.slo.ttft_s, width, height, look)


class SpansPanel(Panel):
    """Shows the figures of every span."""

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return title("BY SPAN", "and by whether a prompt ran in the same iteration", look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del watch
        return draw_latencies(view, width, height, look)


def _words(span_s: float, target_s: float | None) -> str:
    target = "no target" if target_s is None else f"target ┊ {units.duration(target_s)}"
    return f"over {units.duration_name(span_s)} · {target} · logarithmic"
