"""`sarathictl resume`."""

import msgspec
import typer

from sarathictl.invocation import JsonOption, invocation_of


def resume(context: typer.Context, json: JsonOption = False) -> None:
    """Take new requests again after a pause."""
    invocation = invocation_of(context, is_json=json)
    with invocation.connect() as client:
        resumed = client.resume()
    invocation.answer(msgspec.to_builtins(resumed), f"resumed, the daemon is {resumed.state}")
