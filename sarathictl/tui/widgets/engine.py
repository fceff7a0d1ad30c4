"""Queues, KV cache and latencies."""

from rich.text import Text

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.engine import draw_engine
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.line import title
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.widgets.panel import Panel


class EnginePanel(Panel):
    """Shows the engine in figures."""

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return title("ENGINE", "over 1 m, TTFT over 5 m", look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        return draw_engine(view, width, height, look, watch.wall_offset_s)
