"""`sarathictl requests`: what the daemon holds now."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
import typer

from sarathictl import units
from sarathictl.commands.watch import WatchOption, watch
from sarathictl.invocation import JsonOption, invocation_of
from sarathictl.output import table
from sarathictl.state.request_order import RequestOrder, SortKey, read_filter
from sarathid.protocol.control import OwnerStatus, RequestState, RequestStatus
from sarathid.tape.request_table import RequestTable

_OWNER_HEADINGS = ("OWNER", "RUNNING", "WAITING", "TOKENS", "SHARE", "DEFICIT")
_LEFT_ALIGNED = {"STATE", "CLIENT", "OWNER"}


class _Column(NamedTuple):
    """One column of the table, which may be one for who has the room."""

    heading: str
    cell: Callable[[RequestStatus], str]
    is_wide: bool = False


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
    """List the requests that the daemon holds now.

    Where they are of several users or keys, a second table says what these had of the engine in the last minute:
    tokens, their share of all, and how many tokens each that waits had less than the one that had most (an output
    token counts twice). The one that is owed most is next.
    """
    invocation = invocation_of(context, is_json=json)
    words = filter_ if state is None else f"{filter_} state:{state}".strip()
    read_filter(words)
    order = RequestOrder(sort, filter_text=words)

    def answer() -> None:
        with invocation.connect() as client:
            found = client.requests()
        chosen = _chosen(found.requests, order)
        fields = {"requests": msgspec.to_builtins(chosen), "owners": msgspec.to_builtins(found.owners)}
        columns = [column for column in _COLUMNS if invocation.is_wide or not column.is_wide]
        invocation.answer(fields, "\n\n".join(_tables(columns, chosen, found.owners)))

    watch(invocation, answer, is_repeated=again)


def _chosen(found: Sequence[RequestStatus], order: RequestOrder) -> list[RequestStatus]:
    """Return what passes the filter, in order; rows of the screens' table decide both."""
    known = {request.request_id: request for request in found}
    requests = RequestTable()
    requests.replace_all(found, 0.0)
    return [known[row.request_id] for row in order.applied_to(requests.rows)]


def _tables(
    columns: Sequence[_Column], chosen: Sequence[RequestStatus], owners: Mapping[str, OwnerStatus]
) -> Iterator[str]:
    rows = ([column.cell(request) for column in columns] for request in chosen)
    yield table([column.heading for column in columns], rows, _LEFT_ALIGNED)
    if len(owners) > 1:
        yield table(_OWNER_HEADINGS, [_owner_cells(*item) for item in owners.items()], _LEFT_ALIGNED)


def _owner_cells(owner: str, status: OwnerStatus) -> tuple[str, ...]:
    return (
        units.printable(owner),
        str(status.num_running),
        str(status.num_waiting),
        str(status.num_tokens),
        units.share(status.share),
        str(status.deficit),
    )


def _output(request: RequestStatus) -> str:
    limit = units.ABSENT if request.max_tokens is None else request.max_tokens
    return f"{request.num_output_tokens}/{limit}"


_COLUMNS = (
    _Column("ID", lambda request: str(request.request_id)),
    _Column("STATE", lambda request: request.state.value),
    _Column("PROMPT", lambda request: str(request.num_prompt_tokens)),
    _Column("CACHED", lambda request: str(request.num_cached_tokens)),
    _Column("COMPUTED", lambda request: str(request.num_computed_tokens)),
    _Column("OUT/MAX", _output),
    _Column("AGE", lambda request: units.duration(request.age_s)),
    _Column("TTFT", lambda request: units.duration(request.ttft_s)),
    _Column("TBT LAST", lambda request: units.duration(request.tbt_last_s)),
    _Column("WORST", lambda request: units.duration(request.tbt_max_s)),
    _Column("STALLS", lambda request: str(request.num_stalls)),
    _Column("PREEMPTED", lambda request: str(request.num_preemptions), is_wide=True),
    _Column("PRIORITY", lambda request: str(request.priority), is_wide=True),
    _Column("PLACE", lambda request: str(request.place), is_wide=True),
    _Column("OWNER", lambda request: units.printable(request.owner) or units.ABSENT, is_wide=True),
    _Column("CLIENT", lambda request: units.printable(request.client)),
)
