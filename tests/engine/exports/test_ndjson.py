"""The bytes of NDJSON."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from hypothesis import given

from {{ cookiecutter.__package_name }}.exports.ndjson import NDJSONEncoder

from .cells import plain, tables


def reject(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


def read(text: str) -> Any:
    return json.loads(text, parse_int=Decimal, parse_float=Decimal, parse_constant=reject)


@given(tables)
def test_every_row_is_one_valid_document_on_a_line_of_its_own(rows: list[tuple[Any, ...]]) -> None:
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
        (-0.0, b"-0.0"),
        (2**63, b"9223372036854775808"),
        (True, b"true"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), b'"2026-01-02T03:04:05Z"'),
    ],
)
def test_a_value_is_written_as(cell: Any, expected: bytes) -> None:
    assert NDJSONEncoder(["class"]).encode([(cell,)]) == b'{"class":%s}\n' % expected


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        NDJSONEncoder(["text"]).encode([("\ud800",)])
