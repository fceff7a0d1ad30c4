"""Recordings as files: what is cut, damaged, joined, or of another version."""

from pathlib import Path

import msgspec
import pytest

from sarathid.errors import ConfigError
from sarathid.tape.frames import Frame
from sarathid.tape.key_frame import KeyFrame
from sarathid.tape.segment import OpenSegment
from sarathid.tape.tape import Tape, TapeHeader
from tests.factories import make_iteration

HEADER = TapeHeader.now(wall_offset_s=1e9)


def make_frames(num_segments: int, first: int = 0) -> list[Frame]:
    frames = []
    for number in range(first, first + num_segments):
        segment = OpenSegment(KeyFrame(time_s=float(number)))
        segment.add(make_iteration(number, start_s=float(number)))
        frames.append(segment.seal())
    return frames


def numbers_in(tape: Tape) -> list[int]:
    return [record.sequence_number for segment in tape.segments() for record in segment.records]  # type: ignore[union-attr]


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "run.srec").write_bytes(Tape(HEADER, make_frames(3)).to_bytes())

    tape = Tape.read(tmp_path / "run.srec")

    assert tape.header == HEADER
    assert numbers_in(tape) == [0, 1, 2]


def test_a_cut_file_replays_up_to_the_cut() -> None:
    data = Tape(HEADER, make_frames(3)).to_bytes()

    assert numbers_in(Tape.of(data[:-10], "cut")) == [0, 1]


def test_a_segment_that_is_lost_takes_none_along() -> None:
    before, lost, after = make_frames(3)

    assert numbers_in(Tape(HEADER, [before, after])) == [0, 2]
    damaged = bytearray(lost.to_bytes())
    damaged[-1] ^= 1
    data = HEADER.frame(0.0).to_bytes() + before.to_bytes() + bytes(damaged) + after.to_bytes()
    assert numbers_in(Tape.of(data, "damaged")) == [0, 2]


def test_recordings_of_one_boot_may_be_joined_and_of_several_the_last_counts() -> None:
    first, second = (Tape(HEADER, make_frames(2, first=first)).to_bytes() for first in (0, 2))
    earlier_boot = Tape(msgspec.structs.replace(HEADER, boot_id="earlier"), make_frames(2, first=50)).to_bytes()

    assert numbers_in(Tape.of(earlier_boot + first + second, "joined")) == [0, 1, 2, 3]


def test_what_is_later_begins_with_the_segment_of_that_moment() -> None:
    tape = Tape(HEADER, make_frames(4))

    assert numbers_in(tape.since(1.5)) == [1, 2, 3]
    assert numbers_in(tape.since(-1.0)) == [0, 1, 2, 3]


def test_a_later_schema_is_refused_by_the_name_of_its_program() -> None:
    header = msgspec.structs.replace(HEADER, schema_version=99, program="sarathid 9")

    with pytest.raises(ConfigError, match="sarathid 9"):
        Tape.of(Tape(header, make_frames(1)).to_bytes(), "later")


@pytest.mark.parametrize("data", [b"", b"hello", b"srec" * 50])
def test_a_file_that_is_no_recording_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match="no recording"):
        Tape.of(data, "file")


def test_a_directory_is_refused_with_what_to_name_instead(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a directory; name a recording in it, such as .*\.srec"):
        Tape.read(tmp_path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        Tape.read(tmp_path / "none.srec")
