"""`sarathictl pause`."""

import msgspec
import typer

from sarathictl.invocation import JsonOption, invocation_of


def pause(context: typer.Context, json: JsonOption = False) -> None:
    """Take nothing new and finish what runs, but stay.

    New requests get a 503 and /ready says so, which takes the daemon out of a balancer; `resume` takes it in again.
    `status --wait drained` waits until nothing runs.
    """
    invocation = invocation_of(context, is_json=json)
    with invocation.connect() as client:
        paused = client.pause()
    invocation.answer(msgspec.to_builtins(paused), f"paused, {paused.num_in_flight} in flight go on to their end")
