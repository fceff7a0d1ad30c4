"""`sarathictl stages`: where the pipeline idles."""

from collections.abc import Iterator

import typer

from sarathictl import units
from sarathictl.commands.snapshot import view_now
from sarathictl.commands.watch import WatchOption, watch
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import table
from sarathictl.state.stages import StageUse, stage_uses

_HEADINGS = ("STAGE", "BUSY", "BUBBLES", "SHARE")
_WIDE_HEADINGS = ("ITERATIONS", "BUSY EACH", "BUBBLE EACH")


def stages(context: typer.Context, again: WatchOption = False, json: JsonOption = False) -> None:
    """Print how long each pipeline stage worked, and how long it idled although there was work."""
    invocation = invocation_of(context, is_json=json)

    def answer() -> None:
        view = view_now(invocation)
        uses = stage_uses(view.recent)
        rows = [
            [str(number), units.duration(use.busy_s), units.duration(use.bubble_s), units.fine_share(use.bubble_share)]
            for number, use in enumerate(uses)
        ]
        headings = [*_HEADINGS]
        if invocation.is_wide:
            headings += _WIDE_HEADINGS
            rows = [[*row, *_each(use, len(view.recent))] for row, use in zip(rows, uses, strict=True)]
        fields = [{"busy_s": use.busy_s, "bubble_s": use.bubble_s, "bubble_share": use.bubble_share} for use in uses]
        invocation.answer({"num_iterations": len(view.recent), "stages": fields}, table(headings, rows, set()))

    watch(invocation, answer, is_repeated=again)


def _each(use: StageUse, num_iterations: int) -> Iterator[str]:
    """Yield how many iterations there were, and what a stage did in each of them."""
    yield str(num_iterations)
    yield from (units.duration(seconds / num_iterations) for seconds in (use.busy_s, use.bubble_s))
