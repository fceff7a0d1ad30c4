"""`sarathictl requests`: what the daemon holds now."""

from collections.abc import Sequence

import msgspec
import typer

from sarathictl import units
from sarathictl.invocation import JsonOption, invocation_of
from sarathid.protocol.control import ListRequests, RequestList, RequestStatus

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


def requests(context: typer.Context, json: JsonOption = False) -> None:
    """List the requests that the daemon holds now."""
    invocation = invocation_of(context, is_json=json)
    with invocation.connect() as client:
        found = client.request(ListRequests(), RequestList)
    invocation.answer(msgspec.to_builtins(found), _table([_HEADINGS, *map(_cells, found.requests)]))


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


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(_align, _HEADINGS, row, widths)).rstrip() for row in rows)


def _align(heading: str, cell: str, width: int) -> str:
    return cell.ljust(width) if heading in _LEFT_ALIGNED else cell.rjust(width)
