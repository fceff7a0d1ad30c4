"""The transport bar under the panels, while another moment than now is shown."""

from rich.text import Text

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.transport import draw_transport
from sarathictl.tui.widgets.panel import Panel


class TransportBar(Panel):
    """Shows where in the log the picture is from."""

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del view, height
        if watch.transport is None:
            return []
        return [draw_transport(watch.transport, width, look, watch.wall_offset_s)]
