"""Where words and data go, and what the process ends with: stdout is data, stderr is words."""

import csv
import io
import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Any

from sarathid.errors import ConfigError, ControlRefused, NotPermitted, NotReachable, RequestRefused, SarathiError

SCHEMA_VERSION = 1


class ExitCode(IntEnum):
    """What `sarathictl` ends with.

    `PIPE_CLOSED` is what a shell sees of any program whose reader has gone.
    """

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_REACHABLE = 3
    NO_SUCH_OBJECT = 4
    NOT_PERMITTED = 5
    CONFLICT = 6
    REFUSED = 7
    BAD_ANSWER = 8
    REVERTED = 9
    TIMED_OUT = 124
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class Form(StrEnum):
    """How an answer is written: for a person, as one object, as an object a row, or as rows of cells."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


_CODE_OF_FAULT = {
    "malformed": ExitCode.USAGE,
    "not-found": ExitCode.NO_SUCH_OBJECT,
    "not-permitted": ExitCode.NOT_PERMITTED,
    "conflict": ExitCode.CONFLICT,
    "out-of-range": ExitCode.REFUSED,
    "guard": ExitCode.REFUSED,
    "unavailable": ExitCode.REFUSED,
}

_CODE_OF_ERROR: tuple[tuple[type[Exception], ExitCode, str], ...] = (
    (ConfigError, ExitCode.USAGE, "usage"),
    (NotPermitted, ExitCode.NOT_PERMITTED, "not-permitted"),
    (NotReachable, ExitCode.NOT_REACHABLE, "not-reachable"),
    (RequestRefused, ExitCode.REFUSED, "refused"),
    (TimeoutError, ExitCode.TIMED_OUT, "timed-out"),
)


def exit_code_of(error: SarathiError | TimeoutError) -> ExitCode:
    """Return the exit code that stands for an error."""
    return _classify(error)[0]


def print_error(error: SarathiError | TimeoutError, *, is_json: bool) -> None:
    """Say on stderr what went wrong and what to do; with `is_json`, as one object on stdout."""
    code, kind = _classify(error)
    hint = error.hint if isinstance(error, ControlRefused) else ""
    if is_json:
        print_json({"error": {"code": code, "kind": kind, "message": str(error), "hint": hint}})
    else:
        print_words(f"sarathictl: {error}" + (f"\n{hint}" if hint else ""))


def print_json(fields: Mapping[str, Any]) -> None:
    """Print one JSON object with the version of its schema."""
    print_data(json.dumps({"schema_version": SCHEMA_VERSION, **fields}))


def print_rows(fields: Mapping[str, Any], form: Form) -> None:
    """Print the first list of objects among the fields row by row, as JSON or CSV; without one, the fields as a row."""
    rows = _rows(fields)
    if form is Form.CSV:
        print_data(_as_csv(rows))
        return
    for row in rows:
        print_json(row)


def print_data(text: str) -> None:
    """Print one or more lines of the answer that was asked for."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def table(headings: Sequence[str], rows: Iterable[Iterable[str]], left_aligned: Collection[str]) -> str:
    """Return lines in which the cells of a column stand under its heading, to its left where that is asked for."""
    cells = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]

    def align(heading: str, cell: str, width: int) -> str:
        return cell.ljust(width) if heading in left_aligned else cell.rjust(width)

    return "\n".join("  ".join(map(align, headings, row, widths)).rstrip() for row in cells)


def print_words(text: str) -> None:
    """Print words for a person beside the answer."""
    sys.stderr.write(f"{text}\n")


def _rows(fields: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    for value in fields.values():
        if isinstance(value, list | tuple) and all(isinstance(row, Mapping) for row in value):
            return value
    return [fields]


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a heading and a line a row; what is no plain value is a cell of JSON."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue().rstrip("\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _classify(error: SarathiError | TimeoutError) -> tuple[ExitCode, str]:
    if isinstance(error, ControlRefused):
        return _CODE_OF_FAULT.get(error.code, ExitCode.UNEXPECTED), error.code
    for type_, code, kind in _CODE_OF_ERROR:
        if isinstance(error, type_):
            return code, kind
    return ExitCode.UNEXPECTED, "unexpected"
