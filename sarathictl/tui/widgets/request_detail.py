"""One request in full, beside the table."""

from rich.text import Text

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.line import fit, line, title
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.renderables.request_detail import draw_request
from sarathictl.tui.widgets.panel import Panel
from sarathid.tape.request_table import RequestRow


class RequestDetail(Panel):
    """Shows the request that is marked."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._row: RequestRow | None = None

    def detail(self, row: RequestRow | None) -> None:
        """Show another request, or none."""
        self._row = row
        self.repaint()

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return title("REQUEST", "" if self._row is None else str(self._row.request_id), look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        if self._row is None:
            return [fit(line([(" no request is marked", look.faint)]), width)]
        return draw_request(self._row, view, width, height, look, watch.wall_offset_s)
