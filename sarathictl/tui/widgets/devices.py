"""What the engine computes on: its KV cache and the stages of its pipeline."""

from rich.text import Text

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.kv_cache import draw_kv_cache
from sarathictl.tui.renderables.line import title
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.stages import draw_stages
from sarathictl.tui.widgets.panel import Panel


class KVCachePanel(Panel):
    """Shows how full the KV cache is, was and will be."""

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return title("KV CACHE", "", look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del watch
        return draw_kv_cache(view, width, height, look)


class StagesPanel(Panel):
    """Shows where the pipeline idles."""

    def title_of(self, view: EngineView, look: Look) -> Text:
        layout = "" if view.info is None else f"{view.info.layout} · "
        return title("PIPELINE", f"{layout}█ busy ░ bubble · {len(view.recent)} iterations", look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del watch
        return draw_stages(view, width, height, look)
