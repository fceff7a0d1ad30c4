"""Requests with their arrival times: from a CSV file, at another rate, in another size."""

import csv
import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sarathid.errors import ConfigError
from sarathid.workload import PlannedRequest

_MAX_TOKENS = 1 << 24
_MAX_TIME = 1e9


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of a CSV format; `is_timed` says whether arrivals are seconds or have a mean gap of 1."""

    arrival: str
    prompt: str
    output: str
    is_timed: bool


FORMATS = (
    Columns("arrived_at", "num_prefill_tokens", "num_decode_tokens", is_timed=True),
    Columns("t_unit", "prompt", "output", is_timed=False),
)


@dataclass(frozen=True, slots=True)
class RequestList:
    """Requests in order of arrival, which is before 0 for one that waits already when the run begins.

    `rate_per_s` is their mean number a second: None while their times mean nothing, infinite when all come at once.

    `max_model_len` is the longest context that they may need.
    """

    requests: tuple[PlannedRequest, ...]
    rate_per_s: float | None
    max_model_len: int

    def at_rate(self, rate_per_s: float) -> "RequestList":
        """Return the same requests, their times stretched to `rate_per_s` on average.

        Raises `ConfigError` when that is no positive, finite number, or all of them come at once.
        """
        check_rate(rate_per_s)
        if self.rate_per_s == math.inf:
            raise ConfigError(f"the requests come all at once; no stretching gives them a rate of {rate_per_s:g}")
        factor = (self.rate_per_s or 1.0) / rate_per_s
        moved = tuple([replace(request, arrival_s=request.arrival_s * factor) for request in self.requests])
        return replace(self, requests=moved, rate_per_s=rate_per_s)

    def scaled(self, divisor: int) -> "RequestList":
        """Return the same requests with every length divided by `divisor`, rounded up."""
        if divisor == 1:
            return self
        shorter = [
            replace(
                request,
                num_prompt_tokens=-(-request.num_prompt_tokens // divisor),
                num_output_tokens=-(-request.num_output_tokens // divisor),
            )
            for request in self.requests
        ]
        # Rounding up may add one token to each of the two lengths.
        return replace(self, requests=tuple(shorter), max_model_len=self.max_model_len // divisor + 2)

    def within(self, duration_s: float) -> "RequestList":
        """Return those that come in the first `duration_s` seconds, at least one."""
        num_requests = bisect_right(self.requests, duration_s, key=lambda request: request.arrival_s)
        return replace(self, requests=self.requests[: max(1, num_requests)])

    def first(self, num_requests: int) -> "RequestList":
        """Return the first `num_requests` of them; raises `ConfigError` when there are fewer."""
        if num_requests > len(self.requests):
            raise ConfigError(f"{num_requests} requests were asked for and the list has {len(self.requests)}")
        return replace(self, requests=self.requests[:num_requests])


def check_rate(rate_per_s: float) -> None:
    """Raise `ConfigError` unless the rate is a positive, finite number of requests a second."""
    if not 0.0 < rate_per_s < math.inf:
        raise ConfigError(f"a rate of {rate_per_s} is not a positive number of requests a second")


def read_csv(path: Path) -> RequestList:
    """Return the requests of a CSV file in one of `FORMATS`.

    Raises `ConfigError` that names file, line and column of the first value that cannot be.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file, strict=True)
            columns = _columns(path, rows.fieldnames or ())
            requests = tuple(_requests(path, rows, columns))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not requests:
        raise ConfigError(f"{path}: there is no request in it")
    span_s = requests[-1].arrival_s - min(0.0, requests[0].arrival_s)
    return RequestList(
        requests=requests,
        rate_per_s=(len(requests) / span_s if span_s else math.inf) if columns.is_timed else None,
        max_model_len=max([request.num_tokens for request in requests]),
    )


def _columns(path: Path, names: object) -> Columns:
    present = set(names) if isinstance(names, (list, tuple)) else set()
    for columns in FORMATS:
        if {columns.arrival, columns.prompt, columns.output} <= present:
            return columns
    wanted = " or ".join(f"{columns.arrival},{columns.prompt},{columns.output}" for columns in FORMATS)
    raise ConfigError(f"{path}:1: the columns are not {wanted}")


def _requests(path: Path, rows: "csv.DictReader[str]", columns: Columns) -> Iterator[PlannedRequest]:
    last_arrival = -_MAX_TIME
    for row in rows:

        def value(column: str, read: Callable[[str], float], words: str, row: dict[str, str] = row) -> float:
            try:
                return read(row[column])
            except (TypeError, ValueError):
                raise ConfigError(f"{path}:{rows.line_num}: {column} is {row[column]!r}, not {words}") from None

        arrival = value(columns.arrival, _time, "a time in seconds")
        if arrival < last_arrival:
            raise ConfigError(f"{path}:{rows.line_num}: {columns.arrival} goes back; sort the rows by it")
        last_arrival = arrival
        yield PlannedRequest(
            arrival,
            int(value(columns.prompt, _length, "a number of tokens of at least 1")),
            int(value(columns.output, _length, "a number of tokens of at least 1")),
        )


def _time(text: str) -> float:
    time = float(text)
    if not -_MAX_TIME <= time <= _MAX_TIME:
        raise ValueError(text)
    return time


def _length(text: str) -> int:
    length = int(text)
    if not 1 <= length <= _MAX_TOKENS:
        raise ValueError(text)
    return length
