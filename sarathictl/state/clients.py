"""How the clients of a daemon fared, each by the requests of it that have ended."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from sarathid.histogram import LatencyHistogram
from sarathid.protocol.stats import RequestStats

_PROCESS = re.compile(r"^(\d+)/\d+/")


class ClientFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The ended requests of one client, whichever of its processes they came from.

    `worst_p50_s` is the median of their longest gaps, `worst_max_s` the longest of all, and `stalled` the share of
    them that had a stall; None where there was no token, or no second one.
    """

    client: str
    num_requests: int
    num_output_tokens: int
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    worst_p50_s: float | None
    worst_max_s: float | None
    stalled: float


def client_figures(ended: Iterable[RequestStats]) -> list[ClientFigures]:
    """Return the figures of every client, the one with most requests first."""
    by_client: dict[str, list[RequestStats]] = defaultdict(list)
    for request in ended:
        by_client[_PROCESS.sub(r"\1/", request.client)].append(request)
    figures = [_figures(client, requests) for client, requests in by_client.items()]
    return sorted(figures, key=lambda found: (-found.num_requests, found.client))


def _figures(client: str, requests: Sequence[RequestStats]) -> ClientFigures:
    ttfts = _histogram(request.ttft_s for request in requests)
    worst = _histogram(request.tbt_max_s for request in requests)
    return ClientFigures(
        client=client,
        num_requests=len(requests),
        num_output_tokens=sum(request.num_output_tokens for request in requests),
        ttft_p50_s=ttfts.percentile(0.5),
        ttft_p95_s=ttfts.percentile(0.95),
        worst_p50_s=worst.percentile(0.5),
        worst_max_s=worst.max_s,
        stalled=sum(request.num_stalls > 0 for request in requests) / len(requests),
    )


def _histogram(times_s: Iterable[float | None]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    for time_s in times_s:
        if time_s is not None:
            histogram.record(time_s)
    return histogram
