"""The flight recorder over an engine on paper and real files."""

import asyncio
import errno
import logging
from pathlib import Path

import pytest

from sarathid.clock import VirtualClock
from sarathid.errors import ControlRefused
from sarathid.protocol.control import GetRecording, RecordingPart
from sarathid.protocol.stats import IterationScheduled, IterationStats, StallEvent, StreamRecord
from sarathid.tape.frames import Frame
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.tape import Tape, TapeHeader
from sarathid.telemetry.flight_recorder import TRY_AGAIN_AFTER_S, FlightRecorder
from sarathid.telemetry.tape_ring import TapeRing
from tests.sarathictl.records import START_S, PaperEngine, make_info, make_settings

SECONDS = 6


class FillingRing(TapeRing):
    """A ring on a disk that has room for one frame, until somebody makes more."""

    has_room = False

    def append(self, header: TapeHeader, frame: Frame) -> None:
        if self.directory.exists() and not self.has_room:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append(header, frame)


class Flight:
    """A recorder, and the engine whose records it is given second by second."""

    def __init__(self, ring: TapeRing | None) -> None:
        self.clock = VirtualClock(START_S)
        self.engine = PaperEngine(make_settings(256))
        self.told: list[StreamRecord] = []
        self.recorder = FlightRecorder(ring, self._describe, self.clock, wall_offset_s=0.0)

    async def fly(self, seconds: int = SECONDS) -> None:
        for second in range(1, seconds + 1):
            for record in self.engine.run(START_S + second):
                self.told.append(record)
                self.recorder.observe(record)
            self.clock.wait_until(self.engine.now_s)
            await self.recorder.flush()

    async def read(self, last_s: float) -> Tape:
        part: RecordingPart = await self.recorder.read(GetRecording(last_s=last_s))
        data = part.frames
        while part.file is not None:
            part = await self.recorder.read(GetRecording(since_s=part.since_s, file=part.file, offset=part.offset))
            data += part.frames
        return Tape.of(data, "flight")

    def _describe(self, now_s: float) -> KeyFrame:
        return KeyFrame(time_s=now_s, info=make_info(), settings=make_settings())


def flying(ring: TapeRing | None) -> Flight:
    flight = Flight(ring)
    asyncio.run(flight.fly())
    return flight


def numbers(records: list[StreamRecord], kind: type[IterationStats] | type[StallEvent]) -> list[int]:
    found = (record for record in records if isinstance(record, kind))
    return [record.sequence_number if isinstance(record, IterationStats) else record.iteration for record in found]


@pytest.fixture
def ring(tmp_path: Path) -> TapeRing:
    return TapeRing(tmp_path / "state" / "run" / "flight", 64 << 20, 3600.0)


def test_every_iteration_and_stall_is_recorded_behind_a_key_frame_a_second(ring: TapeRing) -> None:
    flight = flying(ring)
    tape = asyncio.run(flight.read(600.0))

    recorded = [record for segment in tape.segments() for record in segment.records]
    for kind in (IterationStats, StallEvent):
        assert numbers(recorded, kind) == numbers(flight.told, kind)
    assert len(tape.frames) == SECONDS
    assert all(segment.key.info == make_info() for segment in tape.segments())
    assert flight.recorder.status.is_recording
    assert flight.recorder.status.num_bytes == ring.num_bytes


def test_the_last_seconds_are_read_alone_where_an_earlier_daemon_recorded_too(ring: TapeRing) -> None:
    flying(ring)
    tape = asyncio.run(flying(ring).read(600.0))

    assert len(tape.frames) == 2 * SECONDS


def test_an_iteration_that_hangs_is_in_the_key_frames_of_the_seconds_that_it_hangs(ring: TapeRing) -> None:
    async def hang(flight: Flight) -> Tape:
        await flight.fly(1)
        scheduled = next(record for record in flight.engine.step() if isinstance(record, IterationScheduled))
        flight.recorder.observe(scheduled)
        for _ in range(3):
            flight.clock.advance(1.0)
            await flight.recorder.flush()
        return await flight.read(600.0)

    *_, last = asyncio.run(hang(Flight(ring))).segments()

    assert last.records == ()
    assert last.key.running is not None


@pytest.fixture
def filling_ring(tmp_path: Path) -> FillingRing:
    return FillingRing(tmp_path / "state" / "run" / "flight", 64 << 20, 3600.0)


def test_a_full_disk_stops_the_recorder_which_says_so_once(
    filling_ring: FillingRing, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        flight = flying(filling_ring)

    assert not flight.recorder.status.is_recording
    assert flight.recorder.status.message == "stopped: No space left on device"
    assert len(caplog.records) == 1
    assert len(asyncio.run(flight.read(600.0)).frames) == 1, "what was recorded is there still"


def test_a_recorder_that_stopped_tries_again_after_a_minute(
    filling_ring: FillingRing, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        flight = Flight(filling_ring)
        with caplog.at_level(logging.WARNING):
            await flight.fly(70)
        assert len(caplog.records) == 1, "what goes on is told once"
        filling_ring.has_room = True
        await flight.fly(130)
        assert flight.recorder.status.is_recording

        first, *later = (await flight.read(600.0)).segments()
        recorded = numbers([record for segment in later for record in segment.records], IterationStats)
        assert 0 < len(recorded) < len(flight.told)
        assert recorded == numbers(flight.told, IterationStats)[-len(recorded) :]
        assert later[0].key.time_s - first.key.time_s > TRY_AGAIN_AFTER_S

    asyncio.run(main())


def test_a_recording_that_cannot_be_read_is_refused(ring: TapeRing) -> None:
    flight = flying(ring)
    (ring.directory / "flight-00000000.srec").mkdir()

    with pytest.raises(ControlRefused, match=r"the recording can't be read: .*Is a directory"):
        asyncio.run(flight.read(1e9))


def test_without_a_ring_nothing_is_recorded_and_the_status_says_so() -> None:
    flight = flying(None)

    assert not flight.recorder.status.is_recording
    assert flight.recorder.status.message == "switched off"
    assert asyncio.run(flight.recorder.read(GetRecording())).frames == b""
