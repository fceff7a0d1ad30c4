import random
from typing import Any

from sarathictl.selftest.frames import FrameMaker
from sarathid.errors import CodecError
from sarathid.protocol.codec import decode
from sarathid.server.openai.openapi import openapi_document


def make_frames(seed: int) -> FrameMaker:
    return FrameMaker(random.Random(seed), openapi_document())


def test_a_seed_draws_the_same_frames() -> None:
    first, second = make_frames(3), make_frames(3)

    for _ in range(200):
        assert first.noise() == second.noise()
        assert first.damaged_http() == second.damaged_http()
        assert first.control() == second.control()


def test_no_frame_ends_the_daemon_or_starts_a_replay() -> None:
    frames = make_frames(4)
    ops = {op for _ in range(1000) for frame in frames.control() if (op := op_of(frame)) is not None}

    assert {"status", "set-budget", "cancel", "why-request"} <= ops
    assert not {"drain", "plan"} & ops


def op_of(frame: bytes) -> str | None:
    """Return the operation that a frame asks for; None if it is none."""
    try:
        op = decode(frame, dict[str, Any]).get("op")
    except CodecError:
        return None
    return op if isinstance(op, str) else None


def test_http_that_is_not_damaged_has_the_length_that_it_says() -> None:
    frames = make_frames(5)
    for _ in range(300):
        head, _, body = frames.http().partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head.splitlines()
