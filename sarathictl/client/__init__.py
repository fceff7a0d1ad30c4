"""Daemons from Python: what HTTP does not carry, as `sarathictl` itself asks it.

    from sarathictl.client import DaemonClient

    with DaemonClient() as daemon:
        daemon.set_budget(512, reason="throughput test")
        for event in daemon.events():
            print(event)

`AsyncDaemonClient` is the same for programs with an event loop. Answers and records are the structs of
`sarathid.protocol`. Errors are `sarathid.errors.SarathiError`s or `TimeoutError`s, and `exit_code_of` says which exit
code of `sarathictl` stands for one. What is not named here may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sarathictl.client.daemon_client import AsyncDaemonClient, DaemonClient
    from sarathictl.client.exit_codes import ExitCode, exit_code_of
    from sarathictl.client.operations import ChangeTerms
    from sarathictl.client.stats_stream import StreamItem

__all__ = ["AsyncDaemonClient", "ChangeTerms", "DaemonClient", "ExitCode", "StreamItem", "exit_code_of"]

_MODULE_OF = {
    "AsyncDaemonClient": "daemon_client",
    "ChangeTerms": "operations",
    "DaemonClient": "daemon_client",
    "ExitCode": "exit_codes",
    "StreamItem": "stats_stream",
    "exit_code_of": "exit_codes",
}


def __getattr__(name: str) -> Any:
    """Load what is named: a short call of `sarathictl` imports this package too, and needs little of it (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
