"""Structs as lists, and back by the table of columns that came with them."""

import msgspec
import pytest

from sarathid.errors import CodecError
from sarathid.tape.packing import Unpacker, columns_of, packed


class Part(msgspec.Struct, frozen=True):
    name: str
    length_s: float | None = None


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    start_s: float
    ratio: float
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    counts: dict[str, int] = {}


WHOLE = Whole(start_s=1000.123456, ratio=0.5, part=Part("one", 0.25), parts=(Part("two"),), counts={"a": 1})


def test_what_is_packed_comes_back() -> None:
    assert Unpacker(columns_of(Whole)).unpack(Whole, packed(WHOLE)) == WHOLE


def test_times_are_whole_microseconds_and_names_are_not_repeated() -> None:
    assert packed(WHOLE) == [1_000_123_456, 0.5, ["one", 250_000], [["two", None]], {"a": 1}]
    assert columns_of(Whole) == {
        "Whole": ("start_s", "ratio", "part", "parts", "counts"),
        "Part": ("name", "length_s"),
    }


def test_a_column_that_is_not_known_is_passed_over_and_a_missing_one_gets_its_default() -> None:
    columns = {"Whole": ("later", "ratio", "start_s"), "Part": ()}

    assert Unpacker(columns).unpack(Whole, ["?", 0.5, 2_000_000]) == Whole(start_s=2.0, ratio=0.5)


@pytest.mark.parametrize("values", [[1, 2.0, 3], ["x", 0.5], 7, [1_000_000, "half"], [1, 0.5, ["a", []]]])
def test_what_is_no_such_struct_is_refused(values: object) -> None:
    with pytest.raises(CodecError):
        Unpacker(columns_of(Whole)).unpack(Whole, values)
