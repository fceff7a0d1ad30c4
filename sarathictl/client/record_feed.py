"""Everything that a daemon tells, as it comes, for a program that waits for it."""

import threading
from collections.abc import Iterator

from sarathictl.client.endpoint import Endpoint, check_reachable
from sarathictl.client.stats_stream import LinkState, Received, StatsStream


def batches(endpoint: Endpoint) -> Iterator[list[Received]]:
    """Yield what came since the last batch, a snapshot first, until closed; an empty batch tells that the link is down.

    Raises `NotReachable` when nobody listens at the start; later the daemon is waited for.
    """
    check_reachable(endpoint.control)
    has_news = threading.Event()
    stream = StatsStream(endpoint, has_news.set)
    stream.start()
    try:
        while True:
            has_news.wait()
            has_news.clear()
            received = stream.drain()
            if received or stream.link.state is LinkState.DOWN:
                yield received
    finally:
        stream.close()
