"""Frames: whole ones are read, whatever lies between them."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarathid.errors import CodecError
from sarathid.tape.frames import MAX_BODY_BYTES, Frame, FrameKind, read_frames

FRAMES = tuple(Frame.of(FrameKind.SEGMENT, 1_000.5 + second, bytes([second]) * 100) for second in range(3))
DATA = b"".join(frame.to_bytes() for frame in FRAMES)


def frames_in(data: bytes) -> list[Frame]:
    return [frame for _, frame in read_frames(data)]


def test_frames_come_back_with_where_they_end() -> None:
    assert [frame.body for frame in frames_in(DATA)] == [bytes([second]) * 100 for second in range(3)]
    assert [frame.time_s for frame in frames_in(DATA)] == [1_000.5, 1_001.5, 1_002.5]
    assert [end for end, _ in read_frames(DATA)][-1] == len(DATA)


@given(st.integers(0, len(DATA)))
def test_a_cut_costs_the_frame_that_it_goes_through(num_bytes: int) -> None:
    read = frames_in(DATA[:num_bytes])

    assert read == list(FRAMES[: len(read)])
    assert sum(len(frame.to_bytes()) for frame in FRAMES[: len(read) + 1]) > num_bytes or len(read) == len(FRAMES)


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_damaged_byte_costs_at_most_one_frame(place: int, change: int) -> None:
    damaged = DATA[:place] + bytes([DATA[place] ^ change]) + DATA[place + 1 :]

    assert len([frame for frame in frames_in(damaged) if frame.packed in {frame.packed for frame in FRAMES}]) >= 2


def test_a_body_that_swells_beyond_all_bounds_is_refused() -> None:
    bomb = Frame(FrameKind.SEGMENT, 0.0, zlib.compress(bytes(MAX_BODY_BYTES + 1), 1))

    with pytest.raises(CodecError, match="more than"):
        _ = bomb.body


def test_a_body_that_is_not_compressed_is_refused() -> None:
    with pytest.raises(CodecError):
        _ = Frame(FrameKind.SEGMENT, 0.0, b"plain").body
