"""Where words and data go, and what the process ends with: stdout is data, stderr is words."""

import csv
import io
import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from sarathictl.client.exit_codes import ExitCode as ExitCode  # commands take both from here, beside what prints
from sarathictl.client.exit_codes import classify
from sarathictl.client.exit_codes import exit_code_of as exit_code_of
from sarathid.errors import ControlRefused, SarathiError

SCHEMA_VERSION = 1


class Form(StrEnum):
    """How an answer is written: for a person, for one with room, as an object, as one a row, or as rows of cells."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


def print_error(error: SarathiError | TimeoutError, *, is_json: bool) -> None:
    """Say on stderr what went wrong and what to do; with `is_json`, as one object on stdout."""
    code, kind = classify(error)
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
