"""The items of a stream on the wire."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Annotated, Any, NotRequired

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict

from streaming_api import streaming

from ..variant import CSV, NDJSON, SSE
from .formats import FORMATS, Format, Tick, application

SETTINGS = SimpleNamespace(csv_escape_formulas=True, heartbeat_seconds=15)


def encoded(format: Format, annotation: Any, *items: Any, **changed: Any) -> str:
    """Return a stream of items on the wire."""

    async def yielded() -> AsyncGenerator[Any, None]:
        for item in items:
            yield item

    async def stream() -> str:
        settings = SimpleNamespace(**vars(SETTINGS) | changed)
        chunks = format.response_class.item_format(annotation).chunks(yielded(), settings)
        return b"".join([chunk.data async for chunk in chunks]).decode()

    return asyncio.run(stream())


class Reading(BaseModel):
    """An item with values of several types."""

    model_config = ConfigDict(populate_by_name=True)

    at: datetime = datetime(2026, 7, 1, 12, tzinfo=UTC)
    value: float = Field(default=1.5, serialization_alias="Value")
    text: str | None = None


class Celsius(BaseModel):
    """An item that is created of an object with attributes."""

    degrees: float


def test_invalid_item_is_rejected(format: Format) -> None:
    with pytest.raises(ValidationError):
        encoded(format, Tick, Tick(n=1), {"n": "one"})


def test_item_is_converted_to_its_type(format: Format) -> None:
    assert format.read(encoded(format, Tick, {"n": "1"}, SimpleNamespace(n=2))) == [1, 2]


def documents(format: Format, text: str) -> list[Any]:
    """Return the documents of NDJSON, or those in the data of events."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    return [json.loads(line, parse_constant=pytest.fail) for line in lines]


if NDJSON or SSE:
    ENCODERS = {
        each: each.response_class.item_format(Any).encode  # type: ignore[attr-defined]
        for each in FORMATS
        if not each.has_header
    }
    texts = pytest.mark.parametrize(
        "format",
        ENCODERS,
        ids=lambda format: format.response_class.__name__,
    )

    @texts
    def test_item_is_serialized_as_fastapi_does(format: Format) -> None:
        text = encoded(format, Reading, Reading(text="a\nb"))

        assert documents(format, text) == [
            {"at": "2026-07-01T12:00:00Z", "Value": 1.5, "text": "a\nb"}
        ]

    @texts
    @pytest.mark.parametrize("annotation", [Reading, Any])
    @pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
    def test_number_that_json_has_not_is_null(format: Format, annotation: Any, value: str) -> None:
        (document,) = documents(format, encoded(format, annotation, Reading(value=float(value))))

        assert document["Value"] is None

    @texts
    def test_item_of_any_type_is_serialized_as_fastapi_does(format: Format) -> None:
        item = {"tick": Tick(n=1), "object": SimpleNamespace(a=1), "price": Decimal("1.50")}

        assert documents(format, encoded(format, Any, item, [None])) == [
            {"tick": {"n": 1}, "object": {"a": 1}, "price": "1.50"},
            [None],
        ]

    @texts
    @given(
        items=st.lists(
            st.text() | st.dictionaries(st.text(), st.integers() | st.text(), max_size=3),
            min_size=1,
            max_size=3,
        )
    )
    def test_each_item_is_one_line(format: Format, items: Sequence[Any]) -> None:
        encode: Any = ENCODERS[format]

        assert documents(format, encode(items).decode()) == list(items)


if CSV:
    from streaming_api.streaming.exports.csv import CSVItems

    FORMAT = next(each for each in FORMATS if each.has_header)

    @dataclass
    class Point:
        x: int
        y: int = 0

    class Record(TypedDict):
        name: str
        note: NotRequired[str]

    class Node(BaseModel):
        value: int
        next: "Node | None" = None

    @pytest.mark.parametrize(
        ("annotation", "header"),
        [
            (Reading, "at,Value,text\r\n"),
            (Point, "x,y\r\n"),
            (Record, "name,note\r\n"),
            (Node, "value,next\r\n"),
            (dict[str, int], ""),
            (Any, ""),
        ],
    )
    def test_csv_without_items_has_names_of_fields(annotation: Any, header: str) -> None:
        assert encoded(FORMAT, annotation) == header

    def test_csv_has_names_of_fields_once() -> None:
        encode = CSVItems(Point).encoder(escape_formulas=True)

        assert encode([Point(1)]) + encode([Point(2)]) + encode([]) == b"x,y\r\n1,0\r\n2,0\r\n"

    def test_csv_of_mappings_has_keys_of_first_item() -> None:
        assert encoded(FORMAT, Any, {"b": 1, "a": 2}, {"a": 3, "b": 4}) == "b,a\r\n1,2\r\n4,3\r\n"

    @pytest.mark.parametrize("item", [{"a": 1, "b": 2}, {"b": 1}, {}, 5, [1], None])
    def test_csv_item_with_other_keys_is_rejected(item: Any) -> None:
        encode = CSVItems(Any).encoder(escape_formulas=True)
        first = encode([{"a": 0}])

        with pytest.raises(Exception, match=r"Invalid item|Expected `object`"):
            encode([item])

        assert first + encode([{"a": 1}]) == b"a\r\n0\r\n1\r\n"

    def test_csv_item_without_keys_is_rejected() -> None:
        with pytest.raises(ValueError, match="Invalid item: expected , got "):
            encoded(FORMAT, Any, {})

    def test_csv_names_follow_a_failure() -> None:
        encode = CSVItems(Any).encoder(escape_formulas=True)

        with pytest.raises(ValueError, match="Invalid item: expected a, got b"):
            encode([{"a": 0}, {"b": 1}])

        assert encode([{"a": 0}]) == b"a\r\n0\r\n"

    def test_csv_field_that_is_not_required_is_empty() -> None:
        text = encoded(FORMAT, Record, {"name": "a"}, {"note": "n", "name": "b"})

        assert text == 'name,note\r\n"a",\r\n"b","n"\r\n'

    @pytest.mark.parametrize("price", [Decimal("-1.50"), Decimal(2), None])
    @pytest.mark.parametrize("annotation", [dict[str, Decimal | None], Any])
    def test_csv_decimal_is_a_number(annotation: Any, price: Decimal | None) -> None:
        text = encoded(FORMAT, annotation, {"name": None, "price": price})

        assert text == f"name,price\r\n,{'' if price is None else price}\r\n"

    def test_csv_name_that_is_no_text_has_one_column() -> None:
        text = encoded(FORMAT, dict[int, Decimal], {1: Decimal("1.5")}, {1: Decimal(2)})

        assert text == "1\r\n1.5\r\n2\r\n"

    def test_csv_item_with_duplicate_names_is_rejected() -> None:
        with pytest.raises(ValueError, match="Invalid item: duplicate names in 1,1"):
            encoded(FORMAT, Any, {1: "a", "1": "b"})

    @pytest.mark.parametrize("price", ["NaN", "-Infinity"])
    def test_csv_decimal_that_is_not_finite_is_empty(price: str) -> None:
        text = encoded(FORMAT, Any, {"name": None, "price": Decimal(price)})

        assert text == "name,price\r\n,\r\n"

    def test_csv_object_is_json() -> None:
        text = encoded(FORMAT, Any, {"a": {"x": [1]}, "b": float("nan")})

        assert [*csv.reader(io.StringIO(text))] == [["a", "b"], ['{"x":[1]}', ""]]

    @pytest.mark.parametrize(("escapes", "cell"), [(True, "'=1+1"), (False, "=1+1")])
    def test_csv_formula_is_escaped_by_setting(escapes: bool, cell: str) -> None:
        text = encoded(FORMAT, Any, {"=1+1": "=1+1"}, csv_escape_formulas=escapes)

        assert text == f'{cell}\r\n"{cell}"\r\n'


if SSE:
    from fastapi.sse import ServerSentEvent

    EVENTS = next(each for each in FORMATS if not each.is_file)
    TICK = {"$ref": "#/components/schemas/Tick"}

    @pytest.mark.parametrize(
        ("event", "text"),
        [
            (ServerSentEvent(data={"n": 1}), 'data: {"n":1}\n\n'),
            (ServerSentEvent(data=Reading(text="x")), None),
            (ServerSentEvent(data=float("nan")), "data: null\n\n"),
            (ServerSentEvent(data="\u2028"), 'data: "\\u2028"\n\n'),
            (ServerSentEvent(raw_data="a\nb"), "data: a\ndata: b\n\n"),
            (ServerSentEvent(comment="two\nlines"), ": two\n: lines\n\n"),
            (
                ServerSentEvent(data=1, event="tick", id="7", retry=5),
                "event: tick\ndata: 1\nid: 7\nretry: 5\n\n",
            ),
        ],
        ids=str,
    )
    def test_event_has_its_own_fields(event: ServerSentEvent, text: str | None) -> None:
        expected = text or 'data: {"at":"2026-07-01T12:00:00Z","Value":1.5,"text":"x"}\n\n'

        encoded_events = encoded(EVENTS, Tick | ServerSentEvent, Tick(n=1), event, {"n": 2})

        assert encoded_events == f'data: {{"n":1}}\n\n{expected}data: {{"n":2}}\n\n'

    @pytest.mark.parametrize(
        "name", ["done", "ready", "error", "stream-error", "", "\0", "a\u2028"]
    )
    def test_event_with_invalid_name_is_rejected(name: str) -> None:
        with pytest.raises(ValueError, match="Invalid event name"):
            encoded(EVENTS, ServerSentEvent, ServerSentEvent(data=1, event=name))

    @pytest.mark.parametrize("retry", ["1\n\ndata: 2", -1])
    def test_event_with_invalid_retry_is_rejected(retry: Any) -> None:
        event = ServerSentEvent(data=1)
        event.retry = retry

        with pytest.raises(ValidationError, match="retry"):
            encoded(EVENTS, ServerSentEvent, event)

    @pytest.mark.parametrize("id", ["two\nlines", "\0"])
    def test_event_with_invalid_id_is_rejected(id: str) -> None:
        event = ServerSentEvent(data=1)
        event.id = id

        with pytest.raises(ValueError, match="SSE 'id' must"):
            encoded(EVENTS, ServerSentEvent, event)

    async def both() -> AsyncIterator[Tick | ServerSentEvent]:
        yield Tick(n=1)
        yield ServerSentEvent(data="two", event="text")

    async def only_events() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(data="one")

    async def annotated() -> AsyncIterator[
        Annotated[Tick | ServerSentEvent, Field(description="A tick.")]
    ]:
        yield ServerSentEvent(data="one")

    @pytest.mark.parametrize(
        ("endpoint", "schema"),
        [
            (both, TICK),
            (only_events, {}),
            (annotated, TICK | {"description": "A tick."}),
        ],
    )
    def test_data_of_events_is_documented(endpoint: Any, schema: Any) -> None:
        document = application(endpoint, EVENTS).openapi()

        response = document["paths"]["/stream"]["get"]["responses"]["200"]
        item = response["content"]["text/event-stream"]["itemSchema"]
        assert item["properties"]["data"]["contentSchema"] == schema
        assert "ServerSentEvent" not in document["components"]["schemas"]

    def test_events_are_streamed_beside_items() -> None:
        response = TestClient(application(both, EVENTS)).get("/stream")

        assert response.text == 'data: {"n":1}\n\nevent: text\ndata: "two"\n\n'
        assert response.headers["cache-control"] == "no-cache, no-transform"

    def test_topics_have_a_response_of_their_own() -> None:
        from streaming_api.streaming.events.response import TopicStreamResponse

        assert issubclass(TopicStreamResponse, streaming.EventStreamResponse)
