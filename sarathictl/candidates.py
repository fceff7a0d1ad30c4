"""What may stand where only this machine or the daemon knows it, for a shell's completion."""

import os
from collections.abc import Iterator

import typer

from sarathictl.client.contexts import control_file_path, read_control_file
from sarathictl.client.endpoint import SSH_SCHEME, choose_address, local_endpoint
from sarathid.errors import SarathiError
from sarathid.protocol.roles import Role

PATIENCE_S = 1.0


def context_names(incomplete: str) -> list[tuple[str, str]]:
    """Return the names in ctl.toml that begin so, each with its address."""
    try:
        contexts = read_control_file(control_file_path()).contexts
    except SarathiError:
        return []
    return [(name, context.addr) for name, context in sorted(contexts.items()) if name.startswith(incomplete)]


def request_ids(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the ids of the requests that the daemon holds, each with its state and client; none over ssh."""
    try:
        return [(name, words) for name, words in _requests(context) if name.startswith(incomplete)]
    except (SarathiError, TimeoutError):
        return []


def _requests(context: typer.Context) -> Iterator[tuple[str, str]]:
    from sarathictl.client.control import ControlClient  # deferred: few completions ask the daemon

    given = context.find_root().params
    addr = choose_address(
        given.get("addr"), given.get("context_name"), os.environ, read_control_file(control_file_path())
    ).addr
    if addr.startswith(SSH_SCHEME):
        return
    with ControlClient(local_endpoint(addr).control, PATIENCE_S, limit=Role.READ) as client:
        for request in client.requests().requests:
            yield str(request.request_id), f"{request.state} {request.client}"
