"""The audit log: one JSON object a line for each thing that happens to a revision, kept in the state directory."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from sarathid.errors import ConfigError
from sarathid.paths import make_private
from sarathid.protocol.revisions import AuditEntry

FILE_NAME = "audit.jsonl"
MAX_FILE_BYTES = 4 << 20
NUM_OLD_FILES = 4

log = logging.getLogger(__name__)


class AuditLog:
    """A file that is only ever appended to, a whole line with one write, and put aside when it is full.

    What was written outlives the daemon and the machine however they end, since each line is on the disk before the
    daemon goes on. A line that was cut is skipped by whoever reads. Where the log can't be written, the daemon says so
    once and goes on.
    """

    def __init__(self, directory: Path, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        """Nothing is made in `directory`, which should be ours alone, before the first entry."""
        self._path = directory / FILE_NAME
        self._max_file_bytes = max_file_bytes
        self._is_failing = False

    def append(self, entry: AuditEntry) -> None:
        """Write an entry as the newest line."""
        try:
            self._append(msgspec.json.encode(entry) + b"\n")
            self._is_failing = False
        except (OSError, ConfigError) as error:
            if not self._is_failing:
                log.warning("the audit log %s can't be written: %s", self._path, error)
            self._is_failing = True

    def read(self, is_wanted: Callable[[AuditEntry], bool]) -> Iterator[AuditEntry]:
        """Yield the entries that are wanted, oldest first, passing over lines that can't be read."""
        for path in (*(self._old_file(age) for age in range(NUM_OLD_FILES, 0, -1)), self._path):
            for line in _lines(path):
                entry = _decoded(line)
                if entry is not None and is_wanted(entry):
                    yield entry

    def _append(self, line: bytes) -> None:
        make_private(self._path.parent.parent)
        make_private(self._path.parent)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(self._path, flags, 0o600)
        try:
            num_bytes = os.fstat(file).st_size
            if num_bytes and os.pread(file, 1, num_bytes - 1) != b"\n":
                line = b"\n" + line  # the last one was cut: it must not take this one along
            os.write(file, line)
            os.fsync(file)
        finally:
            os.close(file)
        if num_bytes + len(line) > self._max_file_bytes:
            self._rotate()

    def _rotate(self) -> None:
        for age in range(NUM_OLD_FILES, 1, -1):
            if self._old_file(age - 1).exists():
                self._old_file(age - 1).replace(self._old_file(age))
        self._path.replace(self._old_file(1))

    def _old_file(self, age: int) -> Path:
        return self._path.with_name(f"{FILE_NAME}.{age}")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return


def _decoded(line: bytes) -> AuditEntry | None:
    try:
        return msgspec.json.decode(line, type=AuditEntry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
