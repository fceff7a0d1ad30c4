"""How the newest change stands, on one line."""

from collections.abc import Sequence

from rich.text import Text

from sarathictl.state.engine_view import EngineView
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.widgets.panel import Panel
from sarathid.protocol.revisions import Revision


class ChangeBar(Panel):
    """Counts down to when a change is taken back, and holds what was said of it against what came."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.history: Sequence[Revision] = ()

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        if not self.history:
            return []
        from sarathictl.state.standing import standing_of  # deferred: the first picture has no history
        from sarathictl.tui.renderables.standing import draw_standing

        standing = standing_of(self.history, view, watch.wall_offset_s)
        return [] if standing is None else [draw_standing(standing, width, look)]
