"""Recordings: fetched from a daemon's flight recorder, or from the files that one left which is gone."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from sarathictl.client.control import ControlAsk
from sarathid.errors import ConfigError
from sarathid.paths import FLIGHT_DIR, daemon_state_dir
from sarathid.protocol.control import GetRecording, RecordingPart
from sarathid.tape.frames import Frame
from sarathid.tape.tape import SUFFIX, Tape, TapeHeader


def fetch_recording(ask: ControlAsk, last_s: float) -> Tape:
    """Return what the daemon's flight recorder holds of the last seconds, part by part.

    Raises `ConfigError` when it holds nothing, and what `ask` raises.
    """
    part: RecordingPart = ask(GetRecording(last_s=last_s), RecordingPart)
    data = [part.frames]
    while part.file is not None:
        op = GetRecording(last_s=last_s, since_s=part.since_s, file=part.file, offset=part.offset)
        part = ask(op, RecordingPart)
        data.append(part.frames)
    whole = b"".join(data)
    if not whole:
        raise ConfigError("the daemon recorded nothing; `sarathictl status` says whether its recorder is on")
    return Tape.of(whole, "the daemon's recording").since(part.since_s)


def left_recording(runtime_dir: Path, last_s: float) -> Tape | None:
    """Return the last seconds that the daemon of a runtime directory recorded before it was gone, None without any."""
    files = sorted((daemon_state_dir(runtime_dir) / FLIGHT_DIR).glob(f"*{SUFFIX}"))
    if not files:
        return None
    tape = Tape.of(b"".join(file.read_bytes() for file in files), str(files[-1].parent))
    return tape.since(tape.frames[-1].time_s - last_s)


class TapeFile:
    """A recording that grows; a context manager. Whole frames are written at once, so that a cut costs one."""

    def __init__(self, path: Path, header: TapeHeader, start_s: float) -> None:
        """Begin a new file; raises `ConfigError` when it exists or can't be made."""
        self.path = path
        self.start_s = self._until_s = start_s
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise ConfigError(f"{path} can't be made: {error.strerror}; name another file") from error
        self._file.write(header.frame(start_s).to_bytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the recording."""
        self._file.close()

    def append(self, frames: Iterable[Frame]) -> None:
        """Write those frames that are later than what was written; raises `OSError` when there is no room."""
        for frame in frames:
            if frame.time_s >= self._until_s:
                self._file.write(frame.to_bytes())
                self._until_s = frame.time_s + 1e-6
