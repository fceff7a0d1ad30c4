"""The two lines on top, and the few big words of a very small terminal."""

from rich.text import Text

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.big_words import draw_big_words
from sarathictl.tui.renderables.header import Watch, draw_header, draw_targets
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.widgets.panel import Panel


class HeaderBar(Panel):
    """Model, settings, link and targets."""

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        return [draw_header(view, watch, width, look), draw_targets(view, watch, width, look)][:height]


class BigWords(Panel):
    """All that fits where nothing else does."""

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        return draw_big_words(view, watch, width, height, look)
