"""What happened, of one kind or of all, to be read back."""

from collections import Counter
from typing import ClassVar

from rich.text import Text
from textual.binding import BindingType

from sarathictl.keymap import Place
from sarathictl.state.engine_view import EngineView
from sarathictl.state.happenings import Happening, Kind, newest_first
from sarathictl.tui.bindings import bindings_at
from sarathictl.tui.renderables.happenings import draw_happenings
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.line import title
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.widgets.panel import Panel


class HappeningsPanel(Panel, can_focus=True):
    """Shows the newest; once moved, it stays where it is while newer ones come."""

    BINDINGS: ClassVar[list[BindingType]] = bindings_at(Place.EVENT_LIST)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._kind: Kind | None = None
        self._top: Happening | None = None

    def title_of(self, view: EngineView, look: Look) -> Text:
        counts = Counter(happening.kind for happening in self._all(view))
        words = " · ".join(f"{kind} {counts[kind]}" for kind in Kind if counts[kind])
        return title("EVENTS", words if self._kind is None else f"{self._kind} alone · s shows others", look)

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        shown = self._chosen(view)
        return draw_happenings(shown, self._index(shown), width, height, look, watch.wall_offset_s)

    def action_move(self, step: int) -> None:
        if self.view is None:
            return
        shown = self._chosen(self.view)
        index = min(max(self._index(shown) + step, 0), max(0, len(shown) - 1))
        self._top = shown[index] if index else None
        self.repaint()

    def action_let_go(self) -> None:
        self._top = None
        self.repaint()

    def action_next_kind(self) -> None:
        """Show one kind after another, then all again."""
        kinds = [None, *Kind]
        self._kind = kinds[(kinds.index(self._kind) + 1) % len(kinds)]
        self._top = None
        self.repaint()

    def _all(self, view: EngineView) -> list[Happening]:
        return newest_first(view.happenings, view.stalls)

    def _chosen(self, view: EngineView) -> list[Happening]:
        return [happening for happening in self._all(view) if self._kind in (None, happening.kind)]

    def _index(self, shown: list[Happening]) -> int:
        return shown.index(self._top) if self._top in shown else 0
