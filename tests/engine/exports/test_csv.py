"""The bytes of CSV."""

import csv
import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from hypothesis import given

from streaming_api.streaming.exports.columns import Binary
from streaming_api.streaming.exports.csv import BYTE_ORDER_MARK, CSVEncoder

from .cells import plain, tables, texts
from .conftest import SAMPLE_ROWS

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
INNER_FORMULA = re.compile(r'(?:(?<=[;\t\r\n])|(?<=[;\t\r\n]"))(?=[=+@-])')
"""The place before a formula, where another separator of cells would reveal it."""


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def is_same(cell: Any, text: str) -> bool:
    """Return whether `text` is that of `cell`."""
    expected = plain(cell)
    if expected is None:
        return text == ""
    if isinstance(expected, bool):
        return text == str(expected).lower()
    if isinstance(expected, Decimal):
        return Decimal(text) == expected
    if isinstance(cell, Binary):
        return text == expected
    escape = "'" if expected.startswith(FORMULA_STARTS) else ""
    return text == escape + INNER_FORMULA.sub("'", expected)


@given(tables)
def test_rows_are_read_back_cell_by_cell(rows: list[tuple[Any, ...]]) -> None:
    columns = [str(number) for number in range(len(rows[0]))]

    records = read(CSVEncoder(columns).encode(rows))

    assert [len(record) for record in records] == [len(row) for row in rows]
    for row, record in zip(rows, records, strict=True):
        assert all(map(is_same, row, record))


@given(texts, texts)
def test_unescaped_text_is_read_back(first: str, second: str) -> None:
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
        ("\ta", b'"\'\ta"'),
        ("\t=1", b"\"'\t'=1\""),
        ("\r=1", b"\"'\r'=1\""),
        ("\n=1", b"\"'\n'=1\""),
        ("x;=1;+y;a", b"\"x;'=1;'+y;a\""),
        ('x;"-1"', b'"x;""\'-1"""'),
        ("x\t@y\r\n-z", b"\"x\t'@y\r\n'-z\""),
        ('x\n"=1', b'"x\n""\'=1"'),
        ("x\\n=1\\;\\=1", b'"x\\n=1\\;\\=1"'),
        ("x\\\n=1", b'"x\\\n\'=1"'),
        ('","=1', b'""",""=1"'),
        ("1=1", b'"1=1"'),
        (Binary(b"\xfb\xff"), b"+/8="),
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
        (date(2026, 1, 2), b'"2026-01-02"'),
        (UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (ip_address("10.0.0.1"), b'"10.0.0.1"'),
        ([1, "a"], b'"[1,""a""]"'),
        ({"a": None}, b'"{""a"":null}"'),
    ],
)
def test_cell_is_encoded_as(cell: Any, expected: bytes) -> None:
    data = CSVEncoder(["id", "cell", "end"]).encode([(1, cell, 2), (3, cell, 4)])

    assert data == b"1,%s,2\r\n3,%s,4\r\n" % (expected, expected)


@pytest.mark.parametrize("text", ["=1+1", "x;=1"])
def test_formula_is_kept_without_escapes(text: str) -> None:
    encoder = CSVEncoder(["id", "text"], escape_formulas=False)

    assert encoder.encode([(1, text)]) == b'1,"%s"\r\n' % text.encode()


@pytest.mark.parametrize(
    ("cell", "expected"), [(None, b'""'), (float("nan"), b'""'), ("", b'""'), (1, b"1")]
)
def test_record_of_one_cell_is_not_an_empty_line(cell: Any, expected: bytes) -> None:
    records = CSVEncoder(["cell"]).encode([(cell,), (cell,)])

    assert records == expected + b"\r\n" + expected + b"\r\n"
    assert len(read(records)) == 2


def test_header_has_column_names() -> None:
    header = CSVEncoder(["id", 'a "b", c']).header

    assert header == b'id,"a ""b"", c"\r\n'


def test_byte_order_mark_precedes_header() -> None:
    header = CSVEncoder(["id"], bom=True).header

    assert header == BYTE_ORDER_MARK + b"id\r\n"


def test_lone_surrogate_is_rejected() -> None:
    with pytest.raises(UnicodeEncodeError):
        CSVEncoder(["text"]).encode([("\ud800",)])


def test_records_end_with_cr_lf(client: TestClient) -> None:
    data = client.get("/export/notes.csv").content

    assert data.count(b"\r\n") == data.count(b"\n") == 1 + SAMPLE_ROWS
