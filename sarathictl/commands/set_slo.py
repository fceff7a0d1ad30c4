"""`sarathictl set-slo tbt=100ms ttft=2s | off`."""

from typing import Annotated

import typer

from sarathictl.commands.change import retunes
from sarathictl.state.retuning import read_targets
from sarathid.protocol.control import SetSLO


@retunes
def set_slo(
    targets: Annotated[
        list[str], typer.Argument(metavar="TARGET...", help="tbt=100ms (P99), ttft=2s (P95), tbt=off, or off for both.")
    ],
) -> SetSLO:
    """Change the latency targets, at once.

    A target that is not named stays as it is. With --budget auto, iterations are made to keep the TBT target; a
    prompt that has waited for half of the TTFT target gets all the time that this leaves, and no more can be done for
    it: a queue that grows misses it.
    """
    return SetSLO(slo=read_targets(targets))
