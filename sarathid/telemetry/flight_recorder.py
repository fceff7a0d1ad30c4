"""The daemon's own recording of its last hour, always on: what happened before anybody looked."""

import asyncio
import logging
from collections.abc import Callable

import msgspec

from sarathid.clock import Clock
from sarathid.errors import ControlRefused, SarathiError
from sarathid.protocol.control import ErrorCode, GetRecording, RecorderStatus, RecordingPart
from sarathid.protocol.stats import IterationScheduled, IterationStats, StreamRecord
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.segment import OpenSegment
from sarathid.tape.tape import TapeHeader
from sarathid.telemetry.tape_ring import Place, TapeRing

KEY_FRAME_EVERY_S = 1.0
TRY_AGAIN_AFTER_S = 60.0

log = logging.getLogger(__name__)


class FlightRecorder:
    """Gathers records for a second, then has them compressed and written in a thread, behind a key frame.

    Where that fails, for want of room on the disk say, it stops, says so and tries again every minute; nothing else
    depends on it.
    """

    def __init__(
        self, ring: TapeRing | None, describe: Callable[[float], KeyFrame], clock: Clock, wall_offset_s: float
    ) -> None:
        """`describe(now_s)` tells what stands now; without a ring nothing is recorded."""
        self._ring = ring
        self._describe = describe
        self._clock = clock
        self._header = TapeHeader.now(wall_offset_s)
        self._running: IterationScheduled | None = None
        self._last_start_s: float | None = None
        self._segment = OpenSegment(describe(clock.now_s()))
        self._writing = asyncio.Lock()
        self._num_bytes = 0
        self._message = "" if ring else "switched off"
        self._tried_s = 0.0

    @property
    def status(self) -> RecorderStatus:
        """Whether it records, and how much it holds."""
        directory = str(self._ring.directory) if self._ring else ""
        return RecorderStatus(
            is_recording=not self._message, message=self._message, directory=directory, num_bytes=self._num_bytes
        )

    def observe(self, record: StreamRecord) -> None:
        """Take a record in; while nothing can be written, what runs alone is noted."""
        if isinstance(record, IterationScheduled):
            self._running = record
        elif isinstance(record, IterationStats):
            self._last_start_s = record.start_s
            if self._running is not None and self._running.sequence_number <= record.sequence_number:
                self._running = None
        if not self._message:
            self._segment.add(record)

    async def run(self) -> None:
        """Write a segment in every second in which something happened, until cancelled."""
        while True:
            await asyncio.sleep(KEY_FRAME_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what was gathered, and begin another segment."""
        async with self._writing:
            ended, self._segment = self._segment, self._segment.followed_by(self._key_frame())
            if self._ring is None or not self._is_worth_writing(ended):
                return
            self._tried_s = self._clock.now_s()
            try:
                self._num_bytes = await asyncio.to_thread(self._write, ended)
            except (OSError, RuntimeError, SarathiError) as error:  # RuntimeError: there is no room for a thread
                self._stop(error.strerror or str(error) if isinstance(error, OSError) else str(error))
            else:
                self._go_on()

    async def read(self, op: GetRecording) -> RecordingPart:
        """Return the part of the recording that is asked for; raises `ControlRefused` where it can't be read."""
        since_s = op.since_s
        if since_s is None:
            await self.flush()
            since_s = self._clock.now_s() - op.last_s
        if self._ring is None:
            return RecordingPart(frames=b"", since_s=since_s)
        place = None if op.file is None else Place(op.file, op.offset)
        try:
            frames, following = await asyncio.to_thread(self._ring.read, since_s, place)
        except OSError as error:
            raise ControlRefused(ErrorCode.UNAVAILABLE, f"the recording can't be read: {error}") from error
        if following is None:
            return RecordingPart(frames=frames, since_s=since_s)
        return RecordingPart(frames=frames, since_s=since_s, file=following.file, offset=following.offset)

    def _is_worth_writing(self, segment: OpenSegment) -> bool:
        if self._message:
            return self._clock.now_s() >= self._tried_s + TRY_AGAIN_AFTER_S
        return bool(len(segment) or segment.key.running)

    def _stop(self, reason: str) -> None:
        if not self._message:
            log.warning("the flight recorder stopped: %s; it tries again every minute", reason)
        self._message = f"stopped: {reason}"

    def _go_on(self) -> None:
        if self._message:
            log.info("the flight recorder records again")
        self._message = ""

    def _key_frame(self) -> KeyFrame:
        key = self._describe(self._clock.now_s())
        return msgspec.structs.replace(key, running=self._running, last_start_s=self._last_start_s)

    def _write(self, segment: OpenSegment) -> int:
        assert self._ring is not None
        self._ring.append(self._header, segment.seal())
        return self._ring.num_bytes
