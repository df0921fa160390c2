"""The bytes of NDJSON."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from ipaddress import ip_address
from typing import Any, NoReturn
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from hypothesis import given

from streaming_api.streaming.exports.columns import Binary
from streaming_api.streaming.exports.ndjson import NDJSONEncoder

from .cells import plain, tables
from .conftest import Content
from .kinds import Color
from .tables import note, notes


def reject(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def read(text: str) -> Any:
    return json.loads(text, parse_int=Decimal, parse_float=Decimal, parse_constant=reject)


@given(tables)
def test_each_row_is_a_valid_document_on_a_line(rows: list[tuple[Any, ...]]) -> None:
    columns = [f"column {number}" for number in range(len(rows[0]))]

    data = NDJSONEncoder(columns).encode(rows)

    documents = [read(line) for line in data.decode().splitlines()]
    assert documents == [dict(zip(columns, map(plain, row), strict=True)) for row in rows]
    assert data.endswith(b"\n")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, b"null"),
        ("", b'""'),
        ("\u2028\x85", b'"\\u2028\\u0085"'),
        ("שלום 😀", '"שלום 😀"'.encode()),
        (float("nan"), b"null"),
        (float("-inf"), b"null"),
        (Decimal("NaN"), b"null"),
        (Decimal("1.50"), b"1.50"),
        ([1, None, {"a": "NaN"}], b'[1,null,{"a":"NaN"}]'),
        ([1.5, [float("nan")], {"a": Decimal("NaN")}], b'[1.5,[null],{"a":null}]'),
        (Binary(b"\xfb\xff"), b'"+/8="'),
        (Color.RED, b'"light red"'),
        (-0.0, b"-0.0"),
        (2**63, b"9223372036854775808"),
        (True, b"true"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), b'"2026-01-02T03:04:05Z"'),
        (date(2026, 1, 2), b'"2026-01-02"'),
        (UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (ip_address("10.0.0.1"), b'"10.0.0.1"'),
    ],
)
def test_cell_is_encoded_as(cell: Any, expected: bytes) -> None:
    assert NDJSONEncoder(["class"]).encode([(cell,)]) == b'{"class":%s}\n' % expected


@pytest.mark.parametrize("name", ['a"b', "back\\slash", "line\nbreak", "{a}", "ключ", "", "\u2028"])
def test_object_has_any_name(name: str) -> None:
    (document,) = NDJSONEncoder(["id", name]).encode([(1, 2)]).decode().splitlines()

    assert read(document) == {"id": 1, name: 2}


def test_lone_surrogate_is_rejected() -> None:
    with pytest.raises(UnicodeEncodeError):
        NDJSONEncoder(["text"]).encode([("\ud800",)])


def test_lines_are_read_one_by_one(client: TestClient, content: Content) -> None:
    content.replace(notes, [note(id, text="a\u2028b\x85c\nd") for id in range(1, 4)])

    with client.stream("GET", "/export/notes.ndjson") as response:
        lines = list(response.iter_lines())

    assert [json.loads(line)["id"] for line in lines] == [1, 2, 3]


def test_numbers_without_json_form_are_null(client: TestClient, content: Content) -> None:
    prices = [1e16, -0.0, float("inf"), float("-inf"), None]
    content.replace(notes, [note(id, price=price) for id, price in enumerate(prices)])

    lines = client.get("/export/notes.ndjson").text.splitlines()

    assert [json.loads(line)["price"] for line in lines] == [1e16, 0.0, None, None, None]
