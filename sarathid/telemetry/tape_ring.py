"""The flight recorder's files: short recordings, the newest added to, the oldest removed."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sarathid.paths import make_private
from sarathid.tape.frames import Frame, FrameKind, read_frames
from sarathid.tape.tape import SUFFIX, TapeHeader

NUM_FILES = 16  # what goes when room is made is one of them
MAX_PART_BYTES = 4 << 20

_PREFIX = "flight-"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to read on: a file by its number, and how much of it was read."""

    file: int
    offset: int


class TapeRing:
    """Files that each can be read alone; together at most `max_bytes` and little older than `max_age_s`.

    Every frame is one write, so that a daemon that is killed leaves all but the frame that it was writing. Nothing
    waits for the disk: what the kernel holds is lost with the machine.
    """

    def __init__(self, directory: Path, max_bytes: int, max_age_s: float) -> None:
        """Nothing is made in `directory` before the first frame."""
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._number: int | None = None
        self._begun_s = 0.0

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def num_bytes(self) -> int:
        """How much all files hold."""
        return sum(path.stat().st_size for path in self._files().values())

    def append(self, header: TapeHeader, frame: Frame) -> None:
        """Write a frame.

        Raises `OSError` when there is no room for it, and `ConfigError` when the directory is not ours.
        """
        data = frame.to_bytes()
        if self._number is None or self._is_full(self._number, len(data)):
            self._make_room(len(data))
            self._number = self._begin(header, frame.time_s)
        _write(self._path(self._number), data)

    def read(self, since_s: float, place: Place | None) -> tuple[bytes, Place | None]:
        """Return frames and where to read on, None at the end.

        They begin at `place`, or with the file in which the moment `since_s` lies.
        """
        files = self._files()
        if place is None:
            place = Place(_first_since(files, since_s), 0)
        path = files.get(place.file)
        numbers = sorted(number for number in files if number > place.file)
        following = Place(numbers[0], 0) if numbers else None
        data = b"" if path is None else _part_of(path, place.offset, MAX_PART_BYTES)
        ends = list(read_frames(data))
        if not ends or (ends[-1][0] == len(data) and len(data) < MAX_PART_BYTES):
            return data, following
        return data[: ends[-1][0]], Place(place.file, place.offset + ends[-1][0])

    def _is_full(self, number: int, num_bytes: int) -> bool:
        """Whether a file takes no more, or is no longer there."""
        path, is_old = self._path(number), time.monotonic() - self._begun_s > self._max_age_s / NUM_FILES
        return is_old or not path.exists() or path.stat().st_size + num_bytes > self._max_bytes // NUM_FILES

    def _begin(self, header: TapeHeader, time_s: float) -> int:
        make_private(self._directory.parent.parent)
        make_private(self._directory.parent)
        make_private(self._directory)
        number = max(self._files(), default=0) + 1
        try:
            _write(self._path(number), header.frame(time_s).to_bytes(), is_new=True)
        except OSError:
            self._path(number).unlink(missing_ok=True)
            raise
        self._begun_s = time.monotonic()
        return number

    def _make_room(self, num_bytes: int) -> None:
        """Remove the oldest files, until another one may be filled."""
        left = sorted(self._files().items())
        total = sum(path.stat().st_size for _, path in left)
        room = max(num_bytes, self._max_bytes // NUM_FILES)
        oldest_s = time.time() - self._max_age_s
        for _, path in left:
            if total + room <= self._max_bytes and path.stat().st_mtime >= oldest_s:
                return
            total -= path.stat().st_size
            path.unlink()

    def _path(self, number: int) -> Path:
        return self._directory / f"{_PREFIX}{number:08}{SUFFIX}"

    def _files(self) -> dict[int, Path]:
        return dict(_numbered(self._directory))


def _numbered(directory: Path) -> Iterator[tuple[int, Path]]:
    for path in directory.glob(f"{_PREFIX}*{SUFFIX}"):
        number = path.name.removeprefix(_PREFIX).removesuffix(SUFFIX)
        if number.isdecimal():
            yield int(number), path


def _first_since(files: dict[int, Path], since_s: float) -> int:
    """Return the number of the file in which a moment lies: the last that begins before it, else the oldest."""
    for number in sorted(files, reverse=True):
        beginning = read_frames(_part_of(files[number], 0, 1 << 16))
        first = next((frame for _, frame in beginning if frame.kind is FrameKind.HEADER), None)
        if first is not None and first.time_s <= since_s:
            return number
    return min(files, default=0)


def _part_of(path: Path, offset: int, num_bytes: int) -> bytes:
    """Return that much of a file from there on, nothing of one that went to make room."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(num_bytes)
    except FileNotFoundError:
        return b""


def _write(path: Path, data: bytes, *, is_new: bool = False) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if is_new else 0)
    file = os.open(path, flags, 0o600)
    try:
        if os.write(file, data) < len(data):
            raise OSError(28, os.strerror(28))
    finally:
        os.close(file)
