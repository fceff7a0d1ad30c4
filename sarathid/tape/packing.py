"""Structs as short lists: no names, times in whole microseconds; a table of columns says what stands where.

A field whose name ends in `_s` is stored as whole millionths, any other float in single precision, a struct as the list
of its columns. Whoever reads goes by the table that came with the data: columns that it doesn't know are passed over,
those that aren't there get the struct's own defaults.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar, get_args, get_origin

import msgspec
from msgspec.structs import astuple

from sarathid.errors import CodecError

Columns: TypeAlias = Mapping[str, Sequence[str]]
"""The names of each struct's columns, by the struct's name."""

Record = TypeVar("Record")

_Reading: TypeAlias = tuple[str, bool, type[msgspec.Struct] | None, bool]
"""A column's name, whether it is stored in millionths, and the struct that it holds, one or many."""

_MILLIONTHS = 1e6
_NUMBERS = frozenset({float, int})
_PLAIN = _NUMBERS | {str}  # MessagePack takes them as they are


def packed(value: Any, *, is_in_millionths: bool = False) -> Any:
    """Return a struct, or what one may hold, as MessagePack takes it."""
    kind = type(value)
    if kind in _NUMBERS:  # most are: the quickest way out comes first
        return round(value * _MILLIONTHS) if is_in_millionths else value
    if kind is tuple or kind is list:
        return [packed(item, is_in_millionths=is_in_millionths) for item in value]
    if kind is dict:
        return {key: packed(item, is_in_millionths=is_in_millionths) for key, item in value.items()}
    if kind is not str and isinstance(value, msgspec.Struct):
        return packed_fields(kind, astuple(value))
    return value


def packed_fields(kind: type[msgspec.Struct], values: Iterable[Any]) -> list[Any]:
    """Return what the fields of a struct hold, in their order, as MessagePack takes it."""
    return [
        value
        if value is None or (type(value) in _PLAIN and not is_in_millionths)
        else packed(value, is_in_millionths=is_in_millionths)
        for value, is_in_millionths in zip(values, _are_in_millionths(kind), strict=True)
    ]


class Unpacker:
    """Makes structs of lists by the table of columns that came with them."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._readings: dict[type[msgspec.Struct], tuple[_Reading, ...]] = {}

    def unpack(self, type_: type[Record], values: Any) -> Record:
        """Return the struct of `type_` whose columns are `values`; raises `CodecError` when they can't be."""
        try:
            return msgspec.convert(self._named(type_, values), type_)
        except (msgspec.ValidationError, TypeError, KeyError) as error:
            raise CodecError(f"not a {type_.__name__}: {error}") from error

    def _named(self, type_: Any, values: Any) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for (name, is_in_millionths, struct, is_many), value in zip(self._readings_of(type_), values, strict=False):
            if value is None:
                named[name] = None
            elif is_in_millionths:
                named[name] = _in_seconds(value)
            elif struct is None:
                named[name] = value
            elif is_many:
                named[name] = [self._named(struct, item) for item in value]
            else:
                named[name] = self._named(struct, value)
        return named

    def _readings_of(self, type_: type[msgspec.Struct]) -> "tuple[_Reading, ...]":
        if type_ not in self._readings:
            inner = _inner_structs(type_)
            self._readings[type_] = tuple(
                (name, name.endswith("_s"), *inner.get(name, (None, False))) for name in self.columns[type_.__name__]
            )
        return self._readings[type_]


@cache
def columns_of(*types: type[msgspec.Struct]) -> dict[str, tuple[str, ...]]:
    """Return the table of these structs and of all that they hold."""
    table: dict[str, tuple[str, ...]] = {}
    left = list(types)
    while left:
        type_ = left.pop()
        table[type_.__name__] = type_.__struct_fields__
        left += [inner for inner, _ in _inner_structs(type_).values() if inner.__name__ not in table]
    return table


@cache
def _are_in_millionths(type_: type[msgspec.Struct]) -> tuple[bool, ...]:
    """Return of each field whether it is stored in millionths."""
    return tuple(name.endswith("_s") for name in type_.__struct_fields__)


@cache
def _inner_structs(type_: type[msgspec.Struct]) -> dict[str, tuple[type[msgspec.Struct], bool]]:
    """Return the struct that each field holds and whether it holds many, for the fields that hold one."""
    found = {field.name: _struct_in(field.type) for field in msgspec.structs.fields(type_)}
    return {name: inner for name, inner in found.items() if inner is not None}


def _struct_in(annotation: Any) -> tuple[type[msgspec.Struct], bool] | None:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation, False
    inner = next((found for part in get_args(annotation) if (found := _struct_in(part)) is not None), None)
    return inner if inner is None or get_origin(annotation) is not tuple else (inner[0], True)


def _in_seconds(value: Any) -> Any:
    return [item / _MILLIONTHS for item in value] if isinstance(value, list) else value / _MILLIONTHS
