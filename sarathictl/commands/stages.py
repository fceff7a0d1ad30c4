"""`sarathictl stages`: where the pipeline idles."""

import typer

from sarathictl import units
from sarathictl.commands.snapshot import view_now
from sarathictl.commands.watch import WatchOption, watch
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import table
from sarathictl.state.stages import stage_uses

_HEADINGS = ("STAGE", "BUSY", "BUBBLES", "SHARE")


def stages(context: typer.Context, again: WatchOption = False, json: JsonOption = False) -> None:
    """Print how long each pipeline stage worked, and how long it idled although there was work."""
    invocation = invocation_of(context, is_json=json)

    def answer() -> None:
        view = view_now(invocation)
        uses = stage_uses(view.recent)
        rows = (
            (str(number), units.duration(use.busy_s), units.duration(use.bubble_s), units.fine_share(use.bubble_share))
            for number, use in enumerate(uses)
        )
        fields = [{"busy_s": use.busy_s, "bubble_s": use.bubble_s, "bubble_share": use.bubble_share} for use in uses]
        invocation.answer({"num_iterations": len(view.recent), "stages": fields}, table(_HEADINGS, rows, set()))

    watch(invocation, answer, is_repeated=again)
