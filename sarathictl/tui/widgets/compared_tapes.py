"""Two tapes one above the other, and what they came to."""

from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.forecast import trust_in_words
from sarathictl.state.why_budget import budget_now_in_words
from sarathictl.tui.renderables.forecast import draw_forecast
from sarathictl.tui.renderables.header import Watch
from sarathictl.tui.renderables.line import Piece, line
from sarathictl.tui.renderables.look import Look
from sarathictl.tui.widgets.panel import Panel
from sarathictl.tui.widgets.tape import TapePanel
from sarathid.protocol.plan import Planned


class NamedTapePanel(TapePanel):
    """A tape under a name of its own, with its settings and how it fares."""

    def __init__(self, name: str, *, id: str) -> None:
        super().__init__(id=id)
        self._heading = name

    def title_of(self, view: EngineView, look: Look) -> Text:
        pieces: list[Piece] = [(self._heading, look.strong)]
        if view.settings is not None:
            words = f"  budget {budget_now_in_words(view.settings, view.samples)}, {view.settings.policy}"
            pieces.append((words, look.plain))
        seen = [figures for figures in view.tbt[:2] if figures.p99_s is not None]
        for figures, before in zip(seen, ("  TBT p99 ", ", "), strict=False):
            is_over = view.slo.tbt_s is not None and figures.p99_s is not None and figures.p99_s > view.slo.tbt_s
            pieces.append((f"{before}{units.duration_name(figures.span_s)} ", look.plain))
            pieces.append((units.duration(figures.p99_s), look.over if is_over else look.plain))
        return line([*pieces, (f"  {units.duration(self.zoom_s)} a column", look.faint)])


class WhatIfPanel(Panel):
    """How well a replay tells what happened, and what it says of the other settings."""

    def __init__(self, planned: Planned, *, id: str) -> None:
        super().__init__(id=id)
        self._planned = planned

    def title_of(self, view: EngineView, look: Look) -> Text:
        del view
        return line([("FIGURES", look.strong), (f"  {trust_in_words(self._planned)}", look.plain)])

    def draw(self, view: EngineView, watch: Watch, width: int, height: int, look: Look) -> list[Text]:
        del view, watch
        return draw_forecast(self._planned, width, look)[:height]
