"""The ends and the keys of rows, wherever the received bytes are split."""

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_api.streaming.client.download import Received
from streaming_api.streaming.client.formats import FORMATS, Format
from streaming_api.streaming.client.service import ClientError
from streaming_api.streaming.exports import routes

ROWS: dict[str, tuple[bytes, list[bytes]]] = {
    "ndjson": (
        b"",
        [
            b'{"text":"\\n","a key":"x\\"y"}\n',
            b'{"text":null,"a key":"\xc3\xb6"}\n',
            b'{"text":"","a key":""}\n',
        ],
    ),
    "csv": (
        b'text,"a key"\r\n',
        [
            b'"a ""word"",\r\n\nand\r\n","x""y"\r\n',
            b',"\xc3\xb6"\r\n',
            b'"""\r\n""",""\r\n',
        ],
    ),
}
KEYS = [None, 'x"y', "ö", ""]
HEADED = Format(re.compile(rb"[^\n]*\n"), True, lambda header, row, name: row.decode().strip())
"""A format with a header, which every variant has."""
formats = pytest.mark.parametrize(
    ("format", "header", "rows"), [(FORMATS[name], *ROWS[name]) for name in FORMATS], ids=FORMATS
)


def test_formats_are_those_of_the_service() -> None:
    assert list(FORMATS) == [each.extension for each in routes.FORMATS]


@formats
@given(seed=st.integers())
def test_rows_are_complete_wherever_bytes_are_split(
    format: Format, header: bytes, rows: list[bytes], seed: int
) -> None:
    data = header + b"".join(rows)
    chance = random.Random(seed)
    cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randrange(9)))
    received, returned = Received(format, "a key"), b""

    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        returned += received.feed(data[start:end])

        complete = returned.removeprefix(header)
        assert complete == b"".join(rows[: received.rows])
        assert received.bytes == len(returned)
        assert received.last_key == KEYS[received.rows]
    assert returned == data
    assert received.is_complete


@formats
@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_transfer_resumes_after_last_complete_row(
    format: Format, header: bytes, rows: list[bytes], cut: int
) -> None:
    received = Received(format, "a key")

    returned = received.feed((header + b"".join(rows))[: len(header) + cut])
    received.resume()
    returned += received.feed(header + b"".join(rows[received.rows :]))

    assert returned == header + b"".join(rows)
    assert received.rows == 3
    assert received.is_complete


@formats
def test_incomplete_row_is_kept_back(format: Format, header: bytes, rows: list[bytes]) -> None:
    received = Received(format, "a key")

    assert received.feed(header + rows[0][:-1]) == header

    assert not received.is_complete


NUMBERS: list[Any] = [("id", "-7"), ("big", "12345678901234567890"), ("x", "1.10"), ("day", "2026")]


@pytest.mark.parametrize(("name", "key"), NUMBERS)
@pytest.mark.parametrize(
    ("extension", "data"),
    [
        ("ndjson", b'{"x":1.10,"day":"2026","big":12345678901234567890,"id":-7}\n'),
        ("csv", b'x,day,big,id\r\n1.10,"2026",12345678901234567890,-7\r\n'),
        ("csv", b'\xef\xbb\xbfid,x,day,big\r\n-7,1.10,"2026",12345678901234567890\r\n'),
    ],
)
def test_key_is_the_text_of_its_column(extension: str, data: bytes, name: str, key: str) -> None:
    if extension not in FORMATS:
        pytest.skip("not chosen")
    received = Received(FORMATS[extension], name)

    received.feed(data)

    assert received.last_key == key


def test_header_alone_is_complete() -> None:
    received = Received(HEADED, "id")
    assert not received.is_complete

    header = received.feed(b"he") + received.feed(b"ad\n")

    assert header == b"head\n"
    assert received.is_complete
    assert (received.rows, received.bytes, received.last_key) == (0, 5, None)


def test_header_of_resumed_transfer_is_left_out() -> None:
    received = Received(HEADED, "id")
    received.feed(b"head\n1\n2")
    received.resume()
    assert not received.is_complete

    rows = received.feed(b"head\n2\n")

    assert rows == b"2\n"
    assert (received.rows, received.bytes, received.last_key) == (2, 9, "2")


def test_rows_of_other_columns_are_not_appended() -> None:
    received = Received(HEADED, "id")
    received.feed(b"id,name\n1,a\n")
    received.resume()

    with pytest.raises(ClientError, match=r"^The columns differ"):
        received.feed(b"id,name,email\n2,b,c\n")
