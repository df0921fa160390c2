"""The bytes of CSV."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from {{ cookiecutter.__package_name }}.exports.csv import (
    BYTE_ORDER_MARK,
    CSVEncoder,
)

from .cells import plain, tables, texts

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def is_same(expected: bool | str | Decimal | None, text: str) -> bool:
    """Tell whether `text` is what is to be read for a plain value."""
    if expected is None:
        return text == ""
    if isinstance(expected, bool):
        return text == str(expected).lower()
    if isinstance(expected, Decimal):
        return Decimal(text) == expected
    escape = "'" if expected.startswith(FORMULA_STARTS) else ""
    return text == f"{escape}{expected}"


@given(tables)
def test_every_row_is_read_back_cell_by_cell(rows: list[tuple[Any, ...]]) -> None:
    columns = [str(number) for number in range(len(rows[0]))]

    records = read(CSVEncoder(columns).encode(rows))

    assert [len(record) for record in records] == [len(row) for row in rows]
    for row, record in zip(rows, records, strict=True):
        assert all(map(is_same, map(plain, row), record))


@given(texts, texts)
def test_without_escapes_text_is_read_back_as_it_is(first: str, second: str) -> None:
    encoder = CSVEncoder(["first", "second"], escape_formulas=False)

    assert read(encoder.encode([(first, second)])) == [[first, second]]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, b""),
        ("", b'""'),
        ("null", b'"null"'),
        ('a "b", c', b'"a ""b"", c"'),
        ('back\\slash "q"', b'"back\\slash ""q"""'),
        ("back\\slash\\", b'"back\\slash\\"'),
        ("line\r\nend", b'"line\r\nend"'),
        ("\0", b'"\0"'),
        ("=1+1", b'"\'=1+1"'),
        ("+1", b'"\'+1"'),
        ("-1", b'"\'-1"'),
        ("@SUM(A1)", b'"\'@SUM(A1)"'),
        ("\t=1", b'"\'\t=1"'),
        ("\r=1", b'"\'\r=1"'),
        ("\n=1", b'"\'\n=1"'),
        ('","=1', b'""",""=1"'),
        ("1=1", b'"1=1"'),
        (-1, b"-1"),
        (-0.5, b"-0.5"),
        (-0.0, b"-0.0"),
        (1e16, b"1e16"),
        (2**63, b"9223372036854775808"),
        (float("nan"), b""),
        (float("inf"), b""),
        (Decimal("-1.50"), b"-1.50"),
        (Decimal("-Infinity"), b""),
        (False, b"false"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), b'"2026-01-02T03:04:05Z"'),
        ([1, "a"], b'"[1,""a""]"'),
        ({"a": None}, b'"{""a"":null}"'),
    ],
)
def test_a_value_is_written_as(cell: Any, expected: bytes) -> None:
    data = CSVEncoder(["id", "cell", "end"]).encode([(1, cell, 2), (3, cell, 4)])

    assert data == b"1,%s,2\r\n3,%s,4\r\n" % (expected, expected)


def test_a_formula_is_left_alone_on_request() -> None:
    encoder = CSVEncoder(["id", "text"], escape_formulas=False)

    assert encoder.encode([(1, "=1+1")]) == b'1,"=1+1"\r\n'


def test_the_header_has_the_names_of_the_columns() -> None:
    header = CSVEncoder(["id", 'a "b", c']).header

    assert header == b'id,"a ""b"", c"\r\n'


def test_the_byte_order_mark_stands_before_the_header() -> None:
    header = CSVEncoder(["id"], bom=True).header

    assert header == BYTE_ORDER_MARK + b"id\r\n"


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        CSVEncoder(["text"]).encode([("\ud800",)])
