"""What `events` and `stalls` share: what happened of late, then what happens, one line each."""

import time
from collections.abc import Callable, Iterable, Iterator

import msgspec

from sarathictl import units
from sarathictl.client.record_feed import batches
from sarathictl.client.stats_stream import Received
from sarathictl.invocation import Invocation
from sarathictl.output import print_json
from sarathictl.state.happenings import Happening, HappeningLog, newest_first
from sarathictl.state.sentences import parts_in_words
from sarathictl.state.stall_feed import StallFeed
from sarathid.protocol.control import MAX_HISTORY, RequestList, Snapshot, Status
from sarathid.protocol.stats import StallEvent, StreamRecord


def remembered(invocation: Invocation, since_s: float | None) -> tuple[list[Happening], float]:
    """Return what the daemon remembers of the last `since_s` seconds, oldest first, and its wall clock's offset."""
    with invocation.connect() as client:
        snapshot = client.snapshot(MAX_HISTORY)
    told = _told((*snapshot.events, *snapshot.iterations, *snapshot.finished))
    first_s = 0.0 if since_s is None else snapshot.status.time_s - since_s
    return [happening for happening in told if happening.time_s >= first_s], _wall_offset_s(snapshot)


def follow(invocation: Invocation, since_s: float | None, passes: Callable[[Happening], bool]) -> None:
    """Print what passes of the last `since_s` seconds, and then everything that comes, until interrupted."""
    offset_s = 0.0
    for batch in batches(invocation.endpoint):
        if not batch:
            invocation.say("the daemon is gone; waiting for it")
        snapshot = next((received.item for received in batch if isinstance(received.item, Snapshot)), None)
        if snapshot is not None:
            offset_s = _wall_offset_s(snapshot)
        for happening in _news(batch, since_s):
            if passes(happening):
                tell(invocation, happening, offset_s)
        since_s = 0.0  # another snapshot, after the daemon was gone, tells what was told


def tell(invocation: Invocation, happening: Happening, wall_offset_s: float) -> None:
    """Print one happening, as a line or as an object of one line."""
    if invocation.is_json:
        print_json(fields_of(happening, wall_offset_s))
    else:
        invocation.print(line_of(happening, wall_offset_s, is_wide=invocation.is_wide))


def line_of(happening: Happening, wall_offset_s: float, *, is_wide: bool) -> str:
    """Return when, what kind and what, as one line; one that `is_wide` takes the longest gap of a stall apart."""
    record = happening.record
    parts = f"; {parts_in_words(record)}" if is_wide and isinstance(record, StallEvent) else ""
    return f"{units.calendar_time(happening.time_s + wall_offset_s)}  {happening.kind:<8}{happening.words}{parts}"


def fields_of(happening: Happening, wall_offset_s: float) -> dict[str, object]:
    """Return a happening as JSON fields; `at_s` is in seconds since the epoch."""
    return {
        "at_s": happening.time_s + wall_offset_s,
        "kind": happening.kind,
        "words": happening.words,
        "record": msgspec.to_builtins(happening.record),
    }


def _news(batch: Iterable[Received], since_s: float | None) -> Iterator[Happening]:
    records: list[StreamRecord] = []
    for received in batch:
        match received.item:
            case Snapshot():
                first_s = 0.0 if since_s is None else received.item.status.time_s - since_s
                told = _told((*received.item.events, *received.item.iterations, *received.item.finished))
                yield from (happening for happening in told if happening.time_s > first_s)
            case RequestList() | Status():
                pass
            case _:
                records.append(received.item)
    yield from _told(records)


def _told(records: Iterable[StreamRecord]) -> list[Happening]:
    """Return what records tell of, oldest first; deliveries that were late in one moment are told once."""
    log, stalls = HappeningLog(), StallFeed()
    for record in records:
        if isinstance(record, StallEvent):
            stalls.append(record)
        else:
            log.append(record)
    return newest_first(log.oldest_first, stalls.newest_first)[::-1]


def _wall_offset_s(snapshot: Snapshot) -> float:
    return time.time() - snapshot.status.time_s
