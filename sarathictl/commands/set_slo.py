"""`sarathictl set-slo tbt=100ms ttft=2s | off`."""

from typing import Annotated

import msgspec
import typer

from sarathictl.client.control import ControlClient
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.state.retuning import describe_change, read_targets
from sarathid.errors import ControlRefused
from sarathid.protocol.control import ErrorCode, GetStatus, Retuned, SetSLO, Status


def set_slo(
    context: typer.Context,
    targets: Annotated[
        list[str], typer.Argument(metavar="TARGET...", help="tbt=100ms (P99), ttft=2s (P95), tbt=off, or off for both.")
    ],
    json: JsonOption = False,
) -> None:
    """Change the latency targets, at once.

    A target that is not named stays as it is.
    """
    invocation = invocation_of(context, is_json=json)
    changes = read_targets(targets)
    with ControlClient(invocation.endpoint.control, invocation.timeout_s) as client:
        settings = client.request(GetStatus(), Status).settings
        if settings is None:
            raise ControlRefused(ErrorCode.UNAVAILABLE, "the engine is not ready yet")
        retuned = client.request(SetSLO(slo=msgspec.structs.replace(settings.slo, **changes)), Retuned)
    invocation.answer(msgspec.to_builtins(retuned), describe_change(retuned))
