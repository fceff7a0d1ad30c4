"""Stalls by their cause."""

from rich.text import Text

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.line import title
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.stall_causes import draw_causes
from sarathictl.tui.widgets.panel import Panel


class CausesPanel(Panel):
    """Shows what stalls were made of, all told."""

    def title_of(self, view: EngineView, look: Look) -> Text:
        return title("CAUSES", f"of the last {len(view.stalls)} stalls", look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del watch
        return draw_causes(view, width, height, look)
