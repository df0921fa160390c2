"""The columns of exports: conversion of values, their JSON schemas and query parameters."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.types import TypeEngine, UserDefinedType

Convert = Callable[[Sequence[Any]], Sequence[Any]]
"""Returns the exported values of a column for those of the driver."""

NUMERIC = 1700
"""The type code of numbers that need no conversion."""
NULL = re.compile(rb'(?P<text>"(?:[^"\\]|\\.)*")|null|-?s?NaN\d*|-?Infinity')
"""JSON text, or a value that is `null` in JSON."""
SCHEMAS: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Decimal: {"type": "number"},
    str: {"type": "string"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    list: {"type": "array"},
    date: {"type": "string", "format": "date"},
    datetime: {"type": "string", "format": "date-time"},
    time: {"type": "string", "format": "time"},
    timedelta: {"type": "string", "format": "duration"},
    UUID: {"type": "string", "format": "uuid"},
}
"""The JSON schemas of exported values by their type in Python."""
PARAMETERS: dict[Any, Any] = {
    **{kind: kind for kind in (bool, date, datetime, time, UUID)},
    int: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)],
    float: Annotated[float, Field(allow_inf_nan=False)],
    # Databases have an error for many more.
    Decimal: Annotated[Decimal, Field(max_digits=1000)],
    # Not every database has text with NUL.
    str: Annotated[str, Field(pattern="^[^\0]*$")],
}
"""The annotations of query parameters; values of other types cannot be compared."""


class Binary:
    """The bytes of a cell, which formats of text have as base64."""

    def __init__(self, data: bytes) -> None:
        self.data = data


def layers(kind: TypeEngine[Any]) -> Iterator[TypeEngine[Any]]:
    """Yield a type, and below a decorator the type that it decorates."""
    yield kind
    while isinstance(kind, sa.TypeDecorator):
        kind = kind.impl_instance
        yield kind


def converts(kind: TypeEngine[Any]) -> bool:
    """Return whether a type that is not SQLAlchemy's own converts values that are read."""
    base: Any = sa.TypeDecorator if isinstance(kind, sa.TypeDecorator) else UserDefinedType
    methods = ("result_processor", "column_expression", "process_result_value")
    return isinstance(kind, base) and any(
        getattr(type(kind), name, None) is not getattr(base, name, None) for name in methods
    )


def exported_type(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type below decorators that convert nothing."""
    return next(
        layer
        for layer in layers(kind)
        if converts(layer) or not isinstance(layer, sa.TypeDecorator)
    )


def python_type(kind: TypeEngine[Any]) -> type:
    """Return the type of values in Python; `object` if SQLAlchemy does not know it."""
    return UUID if isinstance(kind, sa.Uuid) else kind.python_type


def value_schema(kind: TypeEngine[Any], *, nullable: bool) -> dict[str, Any]:
    """Return the JSON schema of an exported value."""
    kind = exported_type(kind)
    schema = SCHEMAS.get(python_type(kind), {})
    if isinstance(kind, sa.Enum):
        schema = {"type": "string", "enum": list(kind.enums)}
    return {"anyOf": [schema, {"type": "null"}]} if schema and nullable else schema


def parameter_type(kind: TypeEngine[Any]) -> Any:
    """Return the annotation of a query parameter; `None` for values that cannot be compared."""
    for layer in layers(kind):
        if isinstance(layer, sa.Enum):
            return Literal[tuple(layer.enums)]
        if layer.python_type is not object:
            return PARAMETERS.get(python_type(layer))
    return None


def bind(value: Any, column: Any, dialect: sa.Dialect) -> sa.ColumnElement[Any]:
    """Return the parameter for comparing `column` with `value`. Raises what its type raises."""
    kind = column.type
    if isinstance(kind, sa.Integer):
        # A value beyond the range of a smaller type can be an error.
        kind = sa.BigInteger()
    if isinstance(kind, sa.Uuid):
        kind = sa.Uuid(native_uuid=kind.native_uuid)
    if process := kind.dialect_impl(dialect).bind_processor(dialect):
        process(value)
    if isinstance(kind, sa.Float) and 2e-45 < abs(value) < 3.4e38:
        # Rounded as the column is; beyond the range of single precision that is an error.
        return sa.cast(value, kind)
    return sa.literal(value, kind)


def each(function: Callable[[Any], Any]) -> Convert:
    """Return the conversion by `function` of all values but `None`."""
    return lambda values: [None if value is None else function(value) for value in values]


def loaded(kind: TypeEngine[Any], dialect: sa.Dialect) -> Convert | None:
    """Return the conversion by SQLAlchemy, if a type has one: of NULL, and to any type, too."""
    load: Any = kind.result_processor(dialect, NUMERIC)

    def convert(value: Any) -> Any:
        value = load(value)
        if isinstance(value, timedelta):
            return duration(value)
        return Binary(value) if isinstance(value, bytes) else value

    return (lambda values: list(map(convert, values))) if load else None


def duration(value: timedelta) -> str:
    """Return a duration in the form of ISO 8601; days and time have signs of their own."""
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06}".rstrip("0.")
    days = f"{value.days}D" if value.days else ""
    clock = f"{hours}H" * bool(hours) + f"{minutes}M" * bool(minutes)
    if seconds or fraction:
        clock += f"{seconds}{fraction}S"
    return f"P{days}T{clock}" if clock else f"P{days}" if days else "PT0S"


def json_document(text: str) -> Any:
    """Return a JSON document as it is, on one line, and the value of a scalar."""
    try:
        data = msgspec.json.format(text.encode(), indent=-1)
    except msgspec.DecodeError:
        # SQLAlchemy writes NaN and half of a surrogate pair: they become `null` and U+FFFD.
        value = json.loads(text, parse_constant=lambda _: None)
        utf16 = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        data = utf16.decode("utf-16", "replace").encode()
    return msgspec.Raw(data) if data[:1] in b"{[-0123456789" else msgspec.json.decode(data)


def without_non_finite(json: bytes, null: bytes = b"null") -> bytes:
    """Return JSON with `null` for NaN and infinities, which msgspec writes for decimals."""
    # Searching for one letter first is almost free; searching for the word is not.
    if (
        (b"N" in json and b"NaN" in json)
        or (b"I" in json and b"Infinity" in json)
        or (null != b"null" and b"null" in json)
    ):
        return NULL.sub(lambda found: found["text"] or null, json)
    return json
