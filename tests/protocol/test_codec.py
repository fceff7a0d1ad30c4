import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarathid.errors import CodecError
from sarathid.protocol.codec import decode, encode
from sarathid.protocol.control import ControlOp, SetBudget
from sarathid.protocol.requests import Request, SamplingParams
from sarathid.protocol.step import AddRequest, EngineCommand

IDS = st.integers(0, 2**63 - 1)
REQUESTS = st.builds(
    Request,
    request_id=IDS,
    prompt_token_ids=st.lists(IDS).map(tuple),
    sampling=st.builds(SamplingParams, max_tokens=st.just(3), stop_token_ids=st.lists(IDS, max_size=3).map(tuple)),
    output_token_ids=st.lists(IDS).map(tuple),
)


@given(REQUESTS)
def test_what_is_encoded_is_decoded_the_same(request: Request) -> None:
    assert decode(encode(AddRequest(request)), EngineCommand) == AddRequest(request)


def test_an_operation_is_told_by_its_op() -> None:
    body = msgpack.packb({"v": 1, "id": 3, "op": "set-budget", "budget": 512})
    assert decode(body, ControlOp) == SetBudget(id=3, budget=512)


@given(st.binary(max_size=200))
def test_random_bytes_are_a_codec_error_or_an_operation(body: bytes) -> None:
    try:
        assert isinstance(decode(body, ControlOp), ControlOp)
    except CodecError as error:
        assert str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000,
        msgpack.packb(1),
        msgpack.packb({"op": "fly"}),
        b"\x80\x80",
        b"\x81\x90\x01",
        b"\x81\x80\x01",
        b"\x81\xa2op\xc7\x01\x05a",
        b"\x81\xa2op\xa1\xff",
    ],
)
def test_malformed_frames_are_refused(body: bytes) -> None:
    with pytest.raises(CodecError):
        decode(body, ControlOp)


def test_a_frame_that_is_too_long_is_not_even_read() -> None:
    with pytest.raises(CodecError, match="longer than the 10"):
        decode(b"\x00" * 11, ControlOp, max_bytes=10)
