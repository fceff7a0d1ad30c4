"""`sarathid join`: run ranks of an engine on another node, and of the next one when that is gone."""

import logging
import signal
import sys
import time
from typing import Annotated, Never

import typer

from sarathid.executor.network import read_endpoint
from sarathid.executor.node_host import NodeHost
from sarathid.telemetry import log

FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 2.0

logger = logging.getLogger(__name__)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def join(
    endpoint: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The --rendezvous of `sarathid serve`.")],
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Where the model lies here [where it lies there].")
    ] = None,
    verbose: Annotated[int, typer.Option("-v", "--verbose", count=True, help="Say more.")] = 0,
) -> None:
    """Run ranks of the engine at HOST:PORT on this node.

    When that engine ends, whatever the reason, so do its ranks here, and the node joins the next one there.
    Ranks talk over the interface that reaches HOST, in the clear: it must be a network that you trust.
    """
    log.configure(verbose)
    signal.signal(signal.SIGTERM, _end)
    address = read_endpoint(endpoint)
    while True:
        host = _await_engine(address, model)
        logger.info("joined %s with %s", endpoint, host)
        logger.info("%s; joining again", host.run())


def _await_engine(address: tuple[str, int], model: str | None) -> NodeHost:
    """Return a membership of the engine at `address`, once one listens there."""
    backoff_s, told = FIRST_BACKOFF_S, ""
    while True:
        try:
            return NodeHost(address, model)
        except OSError as error:
            if str(error) != told:
                told = str(error)
                logger.info("waiting for an engine at %s:%d: %s", *address, told)
        time.sleep(backoff_s)
        backoff_s = min(MAX_BACKOFF_S, 2.0 * backoff_s)


def _end(_signal: int, _frame: object) -> Never:
    sys.exit(0)
