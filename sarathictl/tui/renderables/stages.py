"""The stages of the pipeline: how long each worked, and how long it idled although there was work."""

from rich.text import Text

from sarathictl import units
from sarathictl.state.engine_view import EngineView
from sarathictl.state.stages import StageUse, stage_uses
from sarathictl.tui.renderables.line import bar, fit, line
from sarathictl.tui.renderables.look import Look

_MOST_BAR_CELLS = 24
_LEAST_BAR_CELLS = 8
_WORDS_CELLS = 41  # what stands beside the bar at the longest


def draw_stages(view: EngineView, width: int, height: int, look: Look) -> list[Text]:
    """Return at most `height` lines: one a stage, the share of the one that idled most in the colour of a warning."""
    uses = stage_uses(view.recent)
    if not uses:
        return [fit(line([(" no stage has reported yet", look.faint)]), width)]
    num_cells = max(_LEAST_BAR_CELLS, min(_MOST_BAR_CELLS, width - _WORDS_CELLS))
    worst = max(uses, key=lambda use: use.bubble_share) if len(uses) > 1 else None
    return [fit(_draw(number, use, use is worst, num_cells, look), width) for number, use in enumerate(uses[:height])]


def _draw(number: int, use: StageUse, is_worst: bool, num_cells: int, look: Look) -> Text:
    busy = bar(1.0 - use.bubble_share, num_cells).rstrip()
    return line(
        [
            (f" stage {number}  ", look.strong),
            (busy, look.decode),
            ("░" * (num_cells - len(busy)), look.faint),
            (f" {units.fine_share(use.bubble_share)} bubble", look.preempted if is_worst else look.plain),
            (f"  {units.duration(use.bubble_s)} of {units.duration(use.busy_s + use.bubble_s)}", look.faint),
        ]
    )
