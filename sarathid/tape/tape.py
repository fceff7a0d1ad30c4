"""A recording: a header that says how to read it, then segments that each stand alone. No text of any request is in it.

A file is a row of frames (`frames`). The header's body is a MessagePack map: version, program, boot, what monotonic
seconds lack to the epoch, and the columns of every struct. A segment's body is `{"key": .., "records": [[kind, ..]]}`,
packed as `packing` says; an iteration's gaps are told as `token_clock` says. Recordings may be joined end to end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgpack
import msgspec

from sarathid.errors import CodecError, ConfigError
from sarathid.tape.frames import Frame, FrameKind, read_frames
from sarathid.tape.packing import Unpacker
from sarathid.tape.segment import COLUMNS, Segment, unpacked_body
from sarathid.version import __version__

SCHEMA_VERSION = 1
MAX_TAPE_BYTES = 1 << 30
SUFFIX = ".srec"

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class TapeHeader(msgspec.Struct, frozen=True, kw_only=True):
    """How the segments behind it are read, and whose monotonic clock their times are of."""

    columns: dict[str, tuple[str, ...]]
    wall_offset_s: float
    boot_id: str = ""
    program: str = f"sarathid {__version__}"
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def now(cls, wall_offset_s: float) -> "TapeHeader":
        """Return the header of a recording that is made here and now."""
        boot_id = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
        return cls(columns=COLUMNS, wall_offset_s=wall_offset_s, boot_id=boot_id)

    @classmethod
    def of(cls, frame: Frame) -> "TapeHeader":
        """Return the header in a frame; raises `CodecError` when it holds none that this version can read."""
        try:
            header = msgspec.convert(unpacked_body(frame), cls)
        except msgspec.ValidationError as error:
            raise CodecError(f"not a recording's header: {error}") from error
        if header.schema_version > SCHEMA_VERSION:
            raise CodecError(f"it was recorded by {header.program}, in a form that this version can't read")
        return header

    def frame(self, time_s: float) -> Frame:
        """Return it as the first frame of a recording that begins at `time_s`."""
        return Frame.of(FrameKind.HEADER, time_s, msgpack.packb(msgspec.to_builtins(self)))


@dataclass(frozen=True, slots=True)
class Tape:
    """A recording that was read: the segments of one boot of one machine, oldest first."""

    header: TapeHeader
    frames: Sequence[Frame]

    @classmethod
    def read(cls, path: Path) -> "Tape":
        """Return what can be read of a file, cut or damaged as it may be.

        Raises `ConfigError` when there is no such file, it is too large, or nothing in it is a recording.
        """
        if path.is_dir():
            raise ConfigError(f"{path} is a directory; name a recording in it, such as {path / 'flight-00000001.srec'}")
        try:
            if path.stat().st_size > MAX_TAPE_BYTES:
                raise ConfigError(f"{path} is larger than the {MAX_TAPE_BYTES >> 20} MiB that a recording may have")
            return cls.of(path.read_bytes(), str(path))
        except OSError as error:
            raise ConfigError(f"{path} can't be read: {error.strerror}") from error

    @classmethod
    def of(cls, data: bytes, name: str) -> "Tape":
        """Return the recording that `data` holds; of several boots, the last."""
        header: TapeHeader | None = None
        frames: list[Frame] = []
        for _, frame in read_frames(data):
            if frame.kind is FrameKind.SEGMENT:
                frames.append(frame)
                continue
            try:
                found = TapeHeader.of(frame)
            except CodecError as error:
                raise ConfigError(f"{name}: {error}") from error
            if header is None or header.boot_id != found.boot_id:
                frames.clear()
            header = found
        if header is None:
            raise ConfigError(f"{name} holds no recording; `sarathictl record --out FILE` makes one")
        if not frames:
            raise ConfigError(f"{name} is a recording in which nothing happened")
        return cls(header, sorted(frames, key=lambda frame: frame.time_s))

    @property
    def start_s(self) -> float:
        """When its first segment begins, in monotonic seconds."""
        return self.frames[0].time_s

    def segments(self) -> Iterator[Segment]:
        """Yield what can be read of it, segment by segment."""
        unpacker = Unpacker(self.header.columns)
        for frame in self.frames:
            try:
                yield Segment.of(frame, unpacker)
            except CodecError:
                continue

    def since(self, time_s: float) -> "Tape":
        """Return what of it is later, the segment in which `time_s` lies included."""
        first = max((index for index, frame in enumerate(self.frames) if frame.time_s <= time_s), default=0)
        return Tape(self.header, self.frames[first:])

    def to_bytes(self) -> bytes:
        """Return it as a file."""
        return b"".join(frame.to_bytes() for frame in (self.header.frame(self.start_s), *self.frames))
