"""Values of any type as items: each is read back in each format, or fails visibly."""

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from ..variant import CSV, NDJSON, SSE
from .formats import FORMATS, Format
from .test_encoding import encoded

LINE_ENDS = "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"
SEPARATORS = "\0\x1b\"\\'\ufeff:;,=+-@\t "

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(LINE_ENDS + SEPARATORS))
finite = st.floats(allow_nan=False, allow_infinity=False)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
times = st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=-9.5))]))


class Colour(Enum):
    """A type of values that have names."""

    RED = "red"
    LINES = "a\r\nb"


@dataclass
class Point:
    """A dataclass."""

    x: int
    label: str


class Inner(BaseModel):
    """A model in another one."""

    at: datetime | None
    prices: dict[str, Decimal]
    point: Point | list[Point]


class Record(BaseModel):
    """A model with values of many types."""

    id: int
    text: str | None
    data: bytes
    number: float
    price: Decimal
    at: datetime | None
    day: date
    key: UUID
    colour: Colour
    inner: Inner | None


points = st.builds(Point, st.integers(), texts)
inners = st.builds(
    Inner,
    at=st.none() | times,
    prices=st.dictionaries(texts, decimals, max_size=2),
    point=points | st.lists(points, max_size=2),
)
records = st.builds(
    Record,
    id=st.integers(-(10**40), 10**40),
    text=st.none() | texts,
    data=texts.map(str.encode),
    number=finite,
    price=decimals,
    at=st.none() | times,
    colour=st.sampled_from(Colour),
    inner=st.none() | inners,
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda each: st.lists(each, max_size=4) | st.dictionaries(texts, each, max_size=4)
)


def lists_of(each: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Return a strategy for the items of a stream."""
    return st.lists(each, min_size=1, max_size=4)


typed = (
    lists_of(records).map(lambda items: (Record, items))
    | lists_of(points).map(lambda items: (Point, items))
    | lists_of(records | inners).map(lambda items: (Record | Inner, items))
)


def without_non_finite(value: Any) -> Any:
    """Return a value of JSON with `None` in place of the numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: without_non_finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_non_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if NDJSON or SSE:
    JSON = [each for each in FORMATS if not each.has_header]

    def read_documents(format: Format, text: str) -> list[str]:
        """Return the JSON of the items, by the rule of the format for lines."""
        end = "\n" if format.is_file else "\n\n"
        *items, rest = text.split(end)
        assert not rest
        if not format.is_file:
            assert all(item.startswith("data: ") for item in items)
            items = [item.removeprefix("data: ") for item in items]
        assert all(len(item.splitlines()) == 1 for item in items)
        return items

    @configured(deadline=None)
    @given(st.sampled_from(JSON), lists_of(values))
    def test_any_json_value_is_read_back(format: Format, items: list[Any]) -> None:
        text = encoded(format, Any, *items)

        documents = [json.loads(each) for each in read_documents(format, text)]
        assert documents == [without_non_finite(item) for item in items]

    @configured(deadline=None)
    @given(st.sampled_from(JSON), typed)
    def test_typed_value_is_read_back(format: Format, typed: tuple[Any, Sequence[Any]]) -> None:
        annotation, items = typed

        text = encoded(format, annotation, *items)

        read = TypeAdapter(annotation).validate_json
        assert [read(each) for each in read_documents(format, text)] == items


@pytest.mark.parametrize("value", ["a\ud800", b"\xff"])
def test_text_that_is_not_unicode_is_rejected(format: Format, value: Any) -> None:
    with pytest.raises(ValueError, match=r"surrogate|utf-8"):
        encoded(format, Any, {"text": value})


if CSV:
    FORMAT = next(each for each in FORMATS if each.has_header)
    FORMULA = re.compile(r"(?:^|[;\t\r\n]\"?)[=+@-]|^[\t\r\n]")
    """A formula, also in a cell for a reader with another separator."""

    def read_records(text: str) -> list[list[str]]:
        """Return the cells of records as RFC 4180 has them."""
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))

    def is_read_back(value: Any, cell: str) -> bool:
        """Return whether a cell is that of a value, as Python's JSON has it."""
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return cell == ""
        if isinstance(value, str):
            return cell == value
        if isinstance(value, Decimal):
            return Decimal(cell) == value
        return bool(json.loads(cell) == without_non_finite(value))

    names = st.lists(texts | st.integers(), min_size=1, max_size=4, unique_by=str)
    tables = names.flatmap(
        lambda names: lists_of(st.fixed_dictionaries(dict.fromkeys(names, values | decimals)))
    )

    @configured(deadline=None)
    @given(tables)
    def test_any_object_is_read_back_cell_by_cell(items: list[dict[str | int, Any]]) -> None:
        text = encoded(FORMAT, Any, *items, csv_escape_formulas=False)

        header, *rows = read_records(text)
        assert header == list(map(str, items[0]))
        assert len(rows) == len(items)
        for item, row in zip(items, rows, strict=True):
            cells = dict(zip(header, row, strict=True))
            assert all(is_read_back(value, cells[str(name)]) for name, value in item.items())

    @given(st.lists(texts, min_size=1, unique=True))
    def test_names_of_fields_are_no_formulas(names: list[str]) -> None:
        text = encoded(FORMAT, Any, dict.fromkeys(names))

        header, _ = read_records(text)
        assert len(header) == len(names)
        assert not [name for name in header if FORMULA.search(name)]

    @configured(deadline=None)
    @given(lists_of(records))
    def test_typed_object_is_read_back_cell_by_cell(items: list[Record]) -> None:
        text = encoded(FORMAT, Record, *items, csv_escape_formulas=False)

        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        assert len(rows) == len(items)
        for item, row in zip(items, rows, strict=True):
            expected = item.model_dump(mode="json")
            assert expected.keys() == row.keys()
            expected["price"] = item.price
            assert all(is_read_back(expected[name], cell) for name, cell in row.items())


if SSE:
    from fastapi.sse import ServerSentEvent
    from httpx2 import EventSource, Request, Response

    EVENTS = next(each for each in FORMATS if not each.is_file)

    def read_events(stream: str) -> list[tuple[str, str, str, int | None]]:
        """Return the fields of events as a client reads them."""
        headers = {"Content-Type": "text/event-stream"}
        request = Request("GET", "http://test")
        response = Response(200, headers=headers, content=stream.encode(), request=request)
        return [(each.event, each.data, each.id, each.retry) for each in EventSource(response)]

    fields: Any = {
        "data": st.none() | values,
        "raw_data": st.none() | texts,
        "event": st.none() | st.just("tick") | texts,
        "id": st.none() | st.just("7") | texts,
        "retry": st.none() | st.integers(0) | st.integers() | texts,
        "comment": st.none() | texts,
    }

    @configured(deadline=None)
    @given(st.builds(ServerSentEvent.model_construct, **fields))
    def test_event_with_any_fields_is_one_event_or_fails(event: ServerSentEvent) -> None:
        try:
            text = encoded(EVENTS, ServerSentEvent, event, ServerSentEvent(data="next"))
        except ValueError:
            return

        *first, (name, data, _, retry) = read_events(text)
        assert (name, data, retry) == ("message", '"next"', None)
        has_fields = any(
            each is not None
            for each in (event.data, event.raw_data, event.event, event.id, event.retry)
        )
        assert len(first) == has_fields
        if first:
            ((name, data, id, retry),) = first
            assert (name, id) == (event.event or "message", event.id or "")
            assert retry == (None if event.retry is None else int(event.retry))
            if event.raw_data is not None:
                assert data.split("\n") == lines_of(event.raw_data)
            elif event.data is not None:
                assert json.loads(data) == without_non_finite(event.data)

    def lines_of(text: str) -> list[str]:
        """Return the lines of a text, by the line ends of event streams."""
        return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
