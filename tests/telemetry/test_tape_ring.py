"""The flight recorder's files: bounded, private, and read from any moment on."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from sarathid.errors import ConfigError
from sarathid.tape.frames import Frame, FrameKind
from sarathid.tape.tape import Tape, TapeHeader
from sarathid.telemetry.tape_ring import NUM_FILES, Place, TapeRing

HEADER = TapeHeader.now(wall_offset_s=0.0)
MANY_BYTES = 1 << 20
AN_HOUR_S = 3600.0


def make_frame(time_s: float) -> Frame:
    return Frame(FrameKind.SEGMENT, time_s, os.urandom(1000))


def make_ring(tmp_path: Path, max_bytes: int = MANY_BYTES, max_age_s: float = AN_HOUR_S) -> TapeRing:
    return TapeRing(tmp_path / "state" / "run" / "flight", max_bytes, max_age_s)


def read_all(ring: TapeRing, since_s: float) -> list[float]:
    """Return when the frames begin that are read part by part."""
    data, place = ring.read(since_s, None)
    while place is not None:
        part, place = ring.read(since_s, place)
        data += part
    return [frame.time_s for frame in Tape.of(data, "ring").frames]


def test_frames_are_read_back_and_only_the_owner_may(tmp_path: Path) -> None:
    ring = make_ring(tmp_path)
    for second in range(5):
        ring.append(HEADER, make_frame(second))

    assert read_all(ring, 0.0) == [0.0, 1.0, 2.0, 3.0, 4.0]
    (file,) = ring.directory.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(ring.directory.stat().st_mode) == 0o700
    assert ring.num_bytes == file.stat().st_size


def test_the_oldest_go_when_there_is_no_room_for_the_newest(tmp_path: Path) -> None:
    ring = make_ring(tmp_path, max_bytes=NUM_FILES * 4_000)
    for second in range(200):
        ring.append(HEADER, make_frame(second))
        assert ring.num_bytes <= NUM_FILES * 4_000 + 1_000

    kept = read_all(ring, 0.0)
    assert kept == [float(second) for second in range(200 - len(kept), 200)]
    assert len(kept) > 25


def test_a_file_that_somebody_removed_is_followed_by_another(tmp_path: Path) -> None:
    ring = make_ring(tmp_path)
    ring.append(HEADER, make_frame(0))
    next(ring.directory.iterdir()).unlink()
    ring.append(HEADER, make_frame(1))

    assert read_all(ring, 0.0) == [1.0]


class RingOfYesterday(TapeRing):
    """A ring that has listed its files before others removed some."""

    listed: Mapping[int, Path] = MappingProxyType({})

    def _files(self) -> dict[int, Path]:
        return {**super()._files(), **self.listed}


def test_a_file_that_goes_while_the_ring_is_read_is_passed_over(tmp_path: Path) -> None:
    ring = RingOfYesterday(tmp_path / "state" / "run" / "flight", NUM_FILES * 2_000, AN_HOUR_S)
    for second in range(6):
        ring.append(HEADER, make_frame(second))
    ring.listed = {number: ring.directory / f"flight-{number:08}.srec" for number in (1, 2, 99)}
    (ring.directory / "flight-00000002.srec").unlink()

    kept = read_all(ring, 0.0)
    assert kept == [second for second in map(float, range(6)) if second in kept]
    assert 0 < len(kept) < 6


def test_what_is_older_than_the_limit_goes(tmp_path: Path) -> None:
    earlier = make_ring(tmp_path)
    earlier.append(HEADER, make_frame(1.0))
    (old,) = earlier.directory.iterdir()
    os.utime(old, (0.0, 0.0))

    ring = make_ring(tmp_path)
    ring.append(HEADER, make_frame(2.0))

    assert read_all(ring, 0.0) == [2.0]


def test_reading_begins_with_the_file_of_the_moment_and_goes_on_over_all_later_ones(tmp_path: Path) -> None:
    for start in (0, 10, 20):  # a daemon after the other
        ring = make_ring(tmp_path)
        for second in range(start, start + 3):
            ring.append(HEADER, make_frame(second))

    assert read_all(ring, 11.5) == [10.0, 11.0, 12.0, 20.0, 21.0, 22.0]
    assert read_all(ring, 99.0) == [20.0, 21.0, 22.0]


def test_a_frame_that_is_being_written_waits_for_the_next_part(tmp_path: Path) -> None:
    ring = make_ring(tmp_path)
    ring.append(HEADER, make_frame(0.0))
    (file,) = ring.directory.iterdir()
    later = make_frame(1.0).to_bytes()
    with file.open("ab") as half_written:
        half_written.write(later[:500])
    data, place = ring.read(0.0, None)
    with file.open("ab") as half_written:
        half_written.write(later[500:])

    assert place == Place(1, len(data))
    assert ring.read(0.0, place) == (later, None)


def test_a_file_that_went_meanwhile_is_passed_over(tmp_path: Path) -> None:
    ring = make_ring(tmp_path)
    ring.append(HEADER, make_frame(0.0))

    assert ring.read(0.0, Place(0, 4_711)) == (b"", Place(1, 0))
    assert make_ring(tmp_path / "empty").read(0.0, None) == (b"", None)


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state" / "run").mkdir(parents=True)
    (tmp_path / "state" / "run" / "flight").write_text("a file")

    with pytest.raises(ConfigError):
        make_ring(tmp_path).append(HEADER, make_frame(0.0))
