"""Which requests a table shows, and in which order."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sarathictl import units
from sarathid.errors import ConfigError
from sarathid.protocol.control import RequestState
from sarathid.tape.request_table import RequestRow

Test = Callable[[RequestRow], bool]


class SortKey(StrEnum):
    """What requests are sorted by, named as the column."""

    ID = "ID"
    STATE = "STATE"
    PROMPT = "PROMPT"
    OUTPUT = "OUT"
    TTFT = "TTFT"
    TBT = "TBT"
    WORST = "WORST"
    STALLS = "STALLS"
    KV = "KV"
    PRIORITY = "PRIORITY"
    CLIENT = "CLIENT"


@dataclass(frozen=True, slots=True)
class RequestOrder:
    """Rows that pass `filter_text`, sorted by `key`, the largest first where it is a quantity."""

    key: SortKey = SortKey.ID
    is_reversed: bool = False
    filter_text: str = ""

    def applied_to(self, rows: tuple[RequestRow, ...]) -> tuple[RequestRow, ...]:
        """Return the rows to show; the filter was checked by `read_filter`."""
        tests = read_filter(self.filter_text)
        passed = [row for row in rows if all(test(row) for test in tests)]
        if self.key is SortKey.ID and not self.is_reversed:
            return tuple(passed)
        is_descending = (self.key in _QUANTITIES) is not self.is_reversed
        return tuple(sorted(passed, key=_SORT_KEYS[self.key], reverse=is_descending))

    @property
    def command(self) -> str:
        """The command, without the program's name, that lists the same rows; it knows no way to turn them round."""
        words = ["requests", *([] if self.key is SortKey.ID else ["--sort", self.key.value.lower()])]
        return shlex.join([*words, *(["--filter", self.filter_text] if self.filter_text else [])])

    def __str__(self) -> str:
        arrow = "▴" if (self.key in _QUANTITIES) is self.is_reversed else "▾"
        return f"sort {self.key} {arrow}" + (f" · filter {self.filter_text}" if self.filter_text else "")


_SORT_KEYS: dict[SortKey, Callable[[RequestRow], tuple[str | float, int]]] = {
    SortKey.ID: lambda row: ("", row.request_id),
    SortKey.STATE: lambda row: (row.state.value, row.request_id),
    SortKey.PROMPT: lambda row: (row.num_prompt_tokens or 0, row.request_id),
    SortKey.OUTPUT: lambda row: (row.num_output_tokens, row.request_id),
    SortKey.TTFT: lambda row: (row.ttft_s or 0.0, row.request_id),
    SortKey.TBT: lambda row: (row.tbt_last_s or 0.0, row.request_id),
    SortKey.WORST: lambda row: (row.tbt_max_s or 0.0, row.request_id),
    SortKey.STALLS: lambda row: (row.num_stalls, row.request_id),
    SortKey.KV: lambda row: (row.num_computed_tokens, row.request_id),
    SortKey.PRIORITY: lambda row: (row.priority, row.request_id),
    SortKey.CLIENT: lambda row: (row.client, row.request_id),
}
_QUANTITIES = frozenset(SortKey) - {SortKey.ID, SortKey.STATE, SortKey.PRIORITY, SortKey.CLIENT}
_BOUND = re.compile(r"(stalls|worst|ttft|prompt)>(\S+)")
_VALUES: dict[str, Callable[[RequestRow], float]] = {
    "stalls": lambda row: row.num_stalls,
    "worst": lambda row: row.tbt_max_s or 0.0,
    "ttft": lambda row: row.ttft_s or 0.0,
    "prompt": lambda row: row.num_prompt_tokens or 0,
}
_COUNTS = ("stalls", "prompt")


def read_filter(text: str) -> list[Test]:
    """Return what `"state:decode client:web stalls>2 worst>200ms 17"` asks of a row; a bare word is an id or a client.

    Raises `ConfigError` when a word can't be read.
    """
    return [_read_word(word) for word in text.split()]


def _read_word(word: str) -> Test:
    if bound := _BOUND.fullmatch(word):
        return _read_bound(bound[1], bound[2])
    name, colon, value = word.partition(":")
    if not colon:
        return lambda row: word == str(row.request_id) if word.isdecimal() else word in row.client
    if name == "state" and value in set(RequestState):
        return lambda row: row.state == value
    if name == "client":
        return lambda row: value in row.client
    raise ConfigError(f"{word!r} is no filter; write state:decode, client:NAME, stalls>2, worst>200ms or an id")


def _read_bound(name: str, text: str) -> Test:
    value = _VALUES[name]
    if name not in _COUNTS:
        bound_s = units.parse_duration_s(text)
        return lambda row: value(row) > bound_s
    if not text.isdecimal():
        raise ConfigError(f"{name}>{text} needs a whole number")
    return lambda row: value(row) > int(text)
