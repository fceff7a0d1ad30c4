"""The daemons that have names, side by side."""

from collections.abc import Sequence

from rich.text import Text

from sarathictl.client.fleet import Answer
from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.fleet import draw_fleet
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.line import title
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.widgets.panel import Panel


class FleetPanel(Panel):
    """Shows what each daemon said of itself when it was last asked."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._answers: Sequence[Answer] = ()

    def see(self, answers: Sequence[Answer]) -> None:
        """Take over what the daemons said."""
        self._answers = answers
        self.repaint()

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return title("FLEET", "over 1 m · ▲ half as much again as the others' median", look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del view, watch
        return draw_fleet(self._answers, width, height, look)
