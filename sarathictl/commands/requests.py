"""`sarathictl requests`: what the daemon holds now."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from sarathictl import units
from sarathictl.commands.watch import WatchOption, watch
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import table
from sarathictl.state.request_order import RequestOrder, SortKey, read_filter
from sarathid.protocol.control import ListRequests, RequestList, RequestState, RequestStatus
from sarathid.tape.request_table import RequestTable

_HEADINGS = (
    "ID",
    "STATE",
    "PROMPT",
    "CACHED",
    "COMPUTED",
    "OUT/MAX",
    "AGE",
    "TTFT",
    "TBT LAST",
    "WORST",
    "STALLS",
    "CLIENT",
)
_LEFT_ALIGNED = {"STATE", "CLIENT"}


def requests(
    context: typer.Context,
    filter_: Annotated[
        str, typer.Option("--filter", metavar="WORDS", help='"state:decode client:web stalls>2 worst>200ms", or an id.')
    ] = "",
    state: Annotated[RequestState | None, typer.Option(help="Only those in this state.", case_sensitive=False)] = None,
    sort: Annotated[
        SortKey, typer.Option(help="The largest first where it is a quantity.", case_sensitive=False)
    ] = SortKey.ID,
    again: WatchOption = False,
    json: JsonOption = False,
) -> None:
    """List the requests that the daemon holds now."""
    invocation = invocation_of(context, is_json=json)
    words = filter_ if state is None else f"{filter_} state:{state}".strip()
    read_filter(words)
    order = RequestOrder(sort, filter_text=words)

    def answer() -> None:
        with invocation.connect() as client:
            found = client.request(ListRequests(), RequestList)
        chosen = _chosen(found.requests, order)
        fields = {"requests": msgspec.to_builtins(chosen)}
        invocation.answer(fields, table(_HEADINGS, map(_cells, chosen), _LEFT_ALIGNED))

    watch(invocation, answer, is_repeated=again)


def _chosen(found: Sequence[RequestStatus], order: RequestOrder) -> list[RequestStatus]:
    """Return what passes the filter, in order; rows of the screens' table decide both."""
    known = {request.request_id: request for request in found}
    requests = RequestTable()
    requests.replace_all(found, 0.0)
    return [known[row.request_id] for row in order.applied_to(requests.rows)]


def _cells(request: RequestStatus) -> tuple[str, ...]:
    limit = units.ABSENT if request.max_tokens is None else request.max_tokens
    return (
        str(request.request_id),
        request.state.value,
        str(request.num_prompt_tokens),
        str(request.num_cached_tokens),
        str(request.num_computed_tokens),
        f"{request.num_output_tokens}/{limit}",
        units.duration(request.age_s),
        units.duration(request.ttft_s),
        units.duration(request.tbt_last_s),
        units.duration(request.tbt_max_s),
        str(request.num_stalls),
        units.printable(request.client),
    )
