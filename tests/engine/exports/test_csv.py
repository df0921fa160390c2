"""The bytes of CSV."""

import csv
import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from fastapi.testclient import TestClient
from hypothesis import given

from streaming_api.streaming.exports.csv import BYTE_ORDER_MARK, CSVEncoder
from streaming_api.streaming.exports.response import Binary

from .cells import plain, tables, texts
from .conftest import SAMPLE_ROWS

INNER_FORMULA = r'(?<=[;\t\r\n])("?)(?=[=+@-])'
TICK = r"\1'"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def is_same(expected: bool | str | Decimal | None, text: str) -> bool:
    """Return whether `text` is the cell of a plain value."""
    if expected is None:
        return text == ""
    if isinstance(expected, bool):
        return text == str(expected).lower()
    if isinstance(expected, Decimal):
        return Decimal(text) == expected
    escape = "'" if expected.startswith(FORMULA_STARTS) else ""
    return text == f"{escape}{re.sub(INNER_FORMULA, TICK, expected)}"


@given(tables)
def test_rows_are_read_back_cell_by_cell(rows: list[tuple[Any, ...]]) -> None:
    columns = [str(number) for number in range(len(rows[0]))]

    records = read(CSVEncoder(columns).encode(rows))

    assert [len(record) for record in records] == [len(row) for row in rows]
    for row, record in zip(rows, records, strict=True):
        assert all(map(is_same, map(plain, row), record))


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
        ("\t=1", b'"\'\t\'=1"'),
        ("\r=1", b'"\'\r\'=1"'),
        ("\n=1", b'"\'\n\'=1"'),
        ("x;=2+2;y", b'"x;\'=2+2;y"'),
        ('x;"=2', b'"x;""\'=2"'),
        ("x\n- y", b'"x\n\'- y"'),
        ("x\\n=1", b'"x\\n=1"'),
        ("x\\\n=1", b'"x\\\n\'=1"'),
        (Binary(b"\xfb\xef"), b"++8="),
        (msgspec.Raw(b'{"a":1.50}'), b'"{""a"":1.50}"'),
        (msgspec.Raw(b"-1.50"), b"-1.50"),
        (Decimal("1e400"), b"1E+400"),
        ([Decimal("NaN"), {"a": float("inf")}], b'"[null,{""a"":null}]"'),
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
        (date(2026, 1, 2), b'"2026-01-02"'),
        (UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        ([1, "a"], b'"[1,""a""]"'),
        ({"a": None}, b'"{""a"":null}"'),
    ],
)
def test_cell_is_encoded_as(cell: Any, expected: bytes) -> None:
    data = CSVEncoder(["id", "cell", "end"]).encode([(1, cell, 2), (3, cell, 4)])

    assert data == b"1,%s,2\r\n3,%s,4\r\n" % (expected, expected)


def test_only_column_without_value_is_an_empty_text() -> None:
    assert CSVEncoder(["text"]).encode([(None,), ("a",)]) == b'""\r\n"a"\r\n'


def test_formula_is_kept_without_escapes() -> None:
    encoder = CSVEncoder(["id", "text"], escape_formulas=False)

    assert encoder.encode([(1, "=1+1")]) == b'1,"=1+1"\r\n'


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
