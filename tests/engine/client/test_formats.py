"""The ends and the keys of rows, wherever the received bytes are split."""

import json
import random
import re
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_api.streaming.client.download import START, Received
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
HEADED = Format(
    "text/plain",
    re.compile(rb"[^\n]*\n"),
    has_header=True,
    has_quotes=False,
    cells=lambda header, row: dict(
        zip(header.decode().strip().split(","), row.decode().strip().split(","), strict=True)
    ),
)
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
    received, returned = Received(format, ["a key"]), b""

    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        returned += received.feed(data[start:end])

        complete = returned.removeprefix(header)
        assert complete == b"".join(rows[: received.rows])
        assert received.bytes == len(returned)
        assert received.checkpoint == (
            (received.rows, received.bytes, KEYS[received.rows]) if received.rows else START
        )
    assert returned == data
    assert received.is_complete


@formats
@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_transfer_resumes_after_last_complete_row(
    format: Format, header: bytes, rows: list[bytes], cut: int
) -> None:
    received = Received(format, ["a key"])

    returned = received.feed((header + b"".join(rows))[: len(header) + cut])
    received.rewind()
    returned = returned[: received.bytes]
    returned += received.feed(header + b"".join(rows[received.rows :]))

    assert returned == header + b"".join(rows)
    assert received.rows == 3
    assert received.is_complete


@formats
def test_incomplete_row_is_kept_back(format: Format, header: bytes, rows: list[bytes]) -> None:
    received = Received(format, ["a key"])

    assert received.feed(header + rows[0][:-1]) == header

    assert not received.is_complete


@formats
def test_large_row_takes_linear_time(format: Format, header: bytes, rows: list[bytes]) -> None:
    text = b'"' + b"word, \n" * 1000 + b'"' if format.has_quotes else b'"' + b"x" * 7000 + b'"'
    parsed = bytearray()

    class Pattern:
        """A pattern that counts the bytes which it is given."""

        def match(self, data: bytes, position: int) -> re.Match[bytes] | None:
            parsed.extend(data)
            return format.row.match(data, position)

    counting = replace(format, row=Pattern())  # type: ignore[arg-type]
    received = Received(counting, ["a key"])
    start, end = rows[1].split(b"null" if header == b"" else b",", 1)
    row = start + text + (b"" if header == b"" else b",") + end
    data = header + rows[0] + row

    returned = b"".join(received.feed(data[at : at + 16]) for at in range(0, len(data), 16))

    assert returned == data
    assert received.checkpoint.after == "ö"
    assert len(parsed) < 3 * len(data)


@formats
def test_large_row_is_copied_once(format: Format, header: bytes, rows: list[bytes]) -> None:
    block = b"x" * (1 << 16)
    received = Received(format, ["a key"])
    start, end = rows[2].split(b'""', 1) if header == b"" else (b'"', b'",""\r\n')
    received.feed(header + rows[0] + start + (b'"' if header == b"" else b""))

    tracemalloc.start()
    for _ in range(64):
        received.feed(block)
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < len(block)
    assert len(received.feed((b'"' if header == b"" else b"") + end)) > 64 * len(block)
    assert received.is_complete
    assert held < len(block)


NUMBERS = [("id", "-7"), ("big", "12345678901234567890"), ("x", "1.10"), ("day", "2026")]


@pytest.mark.parametrize(("name", "key"), NUMBERS)
@pytest.mark.parametrize(
    ("extension", "data"),
    [
        ("ndjson", b'{"x":1.10,"day":"2026","big":12345678901234567890,"id":-7}\n'),
        ("csv", b'x,day,big,id\r\n1.10,"2026",12345678901234567890,-7\r\n'),
        ("csv", b'\xef\xbb\xbfid,x,day,big\r\n-7,1.10,"2026",12345678901234567890\r\n'),
    ],
)
def test_key_is_the_text_of_its_columns(extension: str, data: bytes, name: str, key: str) -> None:
    if extension not in FORMATS:
        pytest.skip("not chosen")
    one, two = (Received(FORMATS[extension], names) for names in ([name], ["big", name]))

    one.feed(data)
    two.feed(data)

    assert one.checkpoint.after == key
    assert json.loads(two.checkpoint.after or "") == ["12345678901234567890", key]


def test_number_with_any_digits_is_a_key() -> None:
    if "ndjson" not in FORMATS:
        pytest.skip("not chosen")
    received = Received(FORMATS["ndjson"], ["id"])

    received.feed(b'{"id":%s}\n' % (b"7" * 5000))

    assert received.checkpoint.after == "7" * 5000


@pytest.mark.parametrize(
    ("cell", "is_certain"),
    [
        ("'=1", False),
        ("'+1", False),
        ("'-1", False),
        ("'@1", False),
        ("'\t1", False),
        ("x;'=1", False),
        ('x\t""\'=1', False),
        ("x\r\n'=1", False),
        ("'1", True),
        ("O'=1", True),
        ("x", True),
    ],
)
def test_key_that_may_be_escaped_is_no_checkpoint(cell: str, is_certain: bool) -> None:
    if "csv" not in FORMATS:
        pytest.skip("not chosen")
    received = Received(FORMATS["csv"], ["id"])

    received.feed(b"id\r\n7\r\n")
    received.feed(f'"{cell}"\r\n'.encode())

    assert received.checkpoint.rows == 1 + is_certain
    received.rewind()
    assert received.rows == 1 + is_certain


def test_cell_can_be_larger_than_128_kib() -> None:
    if "csv" not in FORMATS:
        pytest.skip("not chosen")
    received = Received(FORMATS["csv"], ["id"])

    received.feed(b'text,id\r\n"' + b"x" * 200_000 + b'",7\r\n')

    assert received.checkpoint.after == "7"


def test_header_alone_is_complete() -> None:
    received = Received(HEADED, ["id"])
    assert not received.is_complete

    header = received.feed(b"he") + received.feed(b"ad\n")

    assert header == b"head\n"
    assert received.is_complete
    assert (received.rows, received.bytes, received.checkpoint) == (0, 5, START)


def test_header_of_resumed_transfer_is_left_out() -> None:
    received = Received(HEADED, ["id"])
    received.feed(b"id\n1\n2")
    received.rewind()
    assert not received.is_complete

    rows = received.feed(b"id\n2\n")

    assert rows == b"2\n"
    assert received.checkpoint == (2, 7, "2")


def test_header_without_rows_is_received_again() -> None:
    received = Received(HEADED, ["id"])
    received.feed(b"id\n1")
    received.rewind()

    assert received.feed(b"id\n1\n") == b"id\n1\n"


def test_rows_of_other_columns_are_not_appended() -> None:
    received = Received(HEADED, ["id"])
    received.feed(b"id,name\n1,a\n")
    received.rewind()

    with pytest.raises(ClientError, match=r"^The columns differ"):
        received.feed(b"id,name,email\n2,b,c\n")


def test_rows_without_key_are_received_and_not_resumed() -> None:
    received = Received(HEADED, ["id", "name"])

    assert received.feed(b"name\na\n") == b"name\na\n"

    assert received.checkpoint == START
    with pytest.raises(ClientError, match=r"no key"):
        received.rewind()
