"""The columns of exports: conversion of values, their JSON schemas and query parameters."""

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.types import TypeEngine, UserDefinedType
from sqlalchemy.util import method_is_overridden

Convert = Callable[[Sequence[Any]], Sequence[Any]]
"""Returns the exported values of a column for those of the driver."""

NUMERIC = 1700
"""The type code of numbers that need no conversion."""
STRINGS = {date: "date", datetime: "date-time", time: "time", timedelta: "duration", UUID: "uuid"}
OTHERS = {bool: "boolean", int: "integer", float: "number", Decimal: "number", str: "string"}
SIMPLE = (bool, date, datetime, time, UUID)
PARAMETERS: dict[Any, Any] = dict(zip(SIMPLE, SIMPLE, strict=True)) | {
    int: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)],
    float: Annotated[float, Field(allow_inf_nan=False)],
    # Databases have an error for many more.
    Decimal: Annotated[Decimal, Field(max_digits=1000)],
    # Not every database has text with NUL.
    str: Annotated[str, Field(pattern="^[^\0]*$")],
}


class Binary:
    """The bytes of a cell, which formats of text have as base64."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Selected(NamedTuple):
    """A selected column, and the conversion of its values if the driver's are not exported."""

    expression: sa.ColumnElement[Any]
    convert: Convert | None = None


def python_type(kind: TypeEngine[Any]) -> type:
    """Return the type of values in Python; `object` if SQLAlchemy does not know it."""
    return UUID if isinstance(kind, sa.Uuid) else kind.python_type


def undecorated(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type whose values a decorator takes, unless it names its own `python_type`."""
    while isinstance(kind, sa.TypeDecorator) and kind.python_type is object:
        kind = kind.impl_instance
    return kind


def is_converted(kind: TypeEngine[Any]) -> bool:
    """Return whether a type of the application converts values that are read."""
    names = ["result_processor", "column_expression"]
    if isinstance(kind, sa.TypeDecorator):
        base: Any = sa.TypeDecorator
        names.append("process_result_value")
    else:
        base = UserDefinedType
    return (
        isinstance(kind, base)
        and not isinstance(kind, sa.Interval)
        and any(method_is_overridden(kind, getattr(base, name)) for name in names)
    )


def without_decorators(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the implementation of decorators that convert nothing."""
    while isinstance(kind, sa.TypeDecorator):
        if is_converted(kind) or isinstance(kind, sa.Interval):
            break
        kind = kind.impl_instance
    return kind


def stored_type(kind: TypeEngine[Any], dialect: sa.Dialect) -> TypeEngine[Any]:
    """Return the implementation of a type, without decorators that convert nothing."""
    return without_decorators(kind.dialect_impl(dialect))


def can_be_exported(kind: TypeEngine[Any]) -> bool:
    """Return whether values can be represented: Python objects cannot."""
    return not isinstance(kind, sa.PickleType) and (
        not isinstance(kind, sa.TypeDecorator) or can_be_exported(kind.impl_instance)
    )


def value_schema(kind: TypeEngine[Any], *, nullable: bool) -> dict[str, Any]:
    """Return the JSON schema of an exported value."""
    schema: dict[str, Any]
    kind = without_decorators(kind)
    found: Any = python_type(kind)
    if isinstance(kind, sa.Enum):
        schema = {"type": "string", "enum": list(kind.enums)}
    elif isinstance(kind, sa.ARRAY):
        schema = {"type": "array"}
    elif isinstance(kind, sa.JSON) or is_converted(kind):
        return {}
    elif found is bytes:
        schema = {"type": "string", "contentEncoding": "base64"}
    elif found in STRINGS:
        schema = {"type": "string", "format": STRINGS[found]}
    elif found in OTHERS:
        schema = {"type": OTHERS[found]}
    else:
        return {}
    return {"anyOf": [schema, {"type": "null"}]} if nullable else schema


def parameter_type(kind: TypeEngine[Any]) -> Any:
    """Return the annotation of a query parameter; `None` for values that cannot be compared."""
    kind = undecorated(kind)
    if isinstance(kind, sa.Enum):
        return Literal[tuple(kind.enums)]
    return PARAMETERS.get(python_type(kind))


def bind(value: Any, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return the parameter for comparing `column` with `value`."""
    kind = column.type
    if isinstance(kind, sa.Integer):
        # A value beyond the range of a smaller type can be an error.
        kind = sa.BigInteger()
    if isinstance(kind, sa.Uuid):
        kind = sa.Uuid(native_uuid=kind.native_uuid)
    return sa.literal(value, kind)


def each(function: Callable[[Any], Any]) -> Convert:
    """Return the conversion by `function` of all values but `None`."""
    return lambda values: [None if value is None else function(value) for value in values]


def processed(kind: TypeEngine[Any], dialect: sa.Dialect) -> Convert | None:
    """Return the conversion by SQLAlchemy, if a type has one: of NULL, and to any type, too."""
    load: Any = kind.result_processor(dialect, NUMERIC)

    def convert(value: Any) -> Any:
        value = load(value)
        if isinstance(value, timedelta):
            return duration(value)
        return Binary(value) if isinstance(value, bytes) else value

    return (lambda values: list(map(convert, values))) if load else None


def timestamps(suffix: str, zone: str, parse: Callable[[str], Any]) -> Convert:
    """Return the conversion of text like `2026-07-01 12:00:00` to the form of RFC 3339.

    Most values have no fraction of a second: those end with `suffix`, which `zone` replaces. All
    are converted at once; `parse` converts the text of any other.
    """

    def convert(values: Sequence[Any]) -> Sequence[Any]:
        if None not in values:
            text = "\n".join([*values, ""])
            converted = text.replace(f"{suffix}\n", f"{zone}\n")
            is_regular = "." not in converted and "B" not in converted  # the era BC
            if is_regular and text.count(f"{suffix}\n") == len(values):
                return converted.replace(" ", "T").split("\n")[:-1]
        return [None if value is None else parse(value) for value in values]

    return convert


def timestamp(value: datetime | time) -> str:
    """Return a time in the form of RFC 3339."""
    return value.isoformat().replace("+00:00", "Z")


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


def json_document(text: Any) -> Any:
    """Return a JSON document as it is, on one line, and the value of a scalar.

    A number can be stored as one. NaN and infinities, which Python's `json` and so SQLAlchemy
    writes, become `null`.
    """
    if not isinstance(text, str):
        return text
    try:
        data = msgspec.json.format(text.encode(), indent=-1)
    except msgspec.DecodeError:
        return json.loads(text, parse_constant=lambda _: None)
    return msgspec.Raw(data) if data[:1] in b"{[-0123456789" else msgspec.json.decode(data)
