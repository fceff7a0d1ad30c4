"""What a recording tells, in order, in the form in which it leaves the house: nobody in it has a name."""

import hashlib
import secrets
from collections.abc import Iterator

import msgspec

from sarathid.protocol.stats import RequestArrival, RequestStats, SettingsChanged, StreamRecord
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.segment import Segment
from sarathid.tape.tape import Tape
from sarathid.trace.trace_writer import Told

_DIGEST_BYTES = 4


class Names:
    """Gives who asked for something another name, the same one throughout; nobody can guess his way back."""

    def __init__(self, *, are_kept: bool = False) -> None:
        self._key = secrets.token_bytes(16)
        self._are_kept = are_kept

    def instead_of(self, name: str) -> str:
        """Return `"client-1f2e3d4c"` for a name, and nothing for none; the name where names are kept."""
        if self._are_kept or not name:
            return name
        return f"client-{hashlib.blake2b(name.encode(), digest_size=_DIGEST_BYTES, key=self._key).hexdigest()}"

    def hidden(self, segment: Segment) -> Segment:
        """Return a segment without the names in it."""
        return segment if self._are_kept else Segment(self._key_frame(segment.key), tuple(self._records(segment)))

    def _key_frame(self, key: KeyFrame) -> KeyFrame:
        rows = (msgspec.structs.replace(row, client=self.instead_of(row.client)) for row in key.requests)
        return msgspec.structs.replace(key, requests=tuple(rows))

    def _records(self, segment: Segment) -> Iterator[StreamRecord]:
        for record in segment.records:
            match record:
                case RequestArrival():
                    client, owner = self.instead_of(record.client), self.instead_of(record.owner)
                    yield msgspec.structs.replace(record, client=client, owner=owner)
                case RequestStats():
                    yield msgspec.structs.replace(record, client=self.instead_of(record.client))
                case SettingsChanged():
                    yield msgspec.structs.replace(record, changed_by=self.instead_of(record.changed_by), reason="")
                case _:
                    yield record


def told(tape: Tape, names: Names) -> Iterator[Told]:
    """Yield the records of a recording, each segment's behind its key frame; one segment is in memory at a time."""
    for segment in map(names.hidden, tape.segments()):
        yield segment.key
        yield from segment.records


def records_of(tape: Tape, names: Names) -> Iterator[StreamRecord]:
    """Yield the records alone."""
    return (record for record in told(tape, names) if not isinstance(record, KeyFrame))
