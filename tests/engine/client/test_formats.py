"""Where a row ends, wherever the bytes were cut on their way."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

#{% if cookiecutter.csv %}
from {{ cookiecutter.__package_name }}.client import ClientError
#{% endif %}
from {{ cookiecutter.__package_name }}.client.download import Received
#{% if cookiecutter.ndjson and cookiecutter.csv %}
from {{ cookiecutter.__package_name }}.client.formats import (
    CSV,
    EXPORTS,
    NDJSON,
    Format,
)
#{% elif cookiecutter.ndjson %}
from {{ cookiecutter.__package_name }}.client.formats import (
    EXPORTS,
    NDJSON,
    Format,
)
#{% else %}
from {{ cookiecutter.__package_name }}.client.formats import CSV, EXPORTS, Format
#{% endif %}

from ..exports.formats import EXPORTS as ROUTES

SAMPLES = [
#{% if cookiecutter.ndjson %}
    pytest.param(
        NDJSON, b"", [b'{"id":7,"a":"\\n"}\n', b'{"id":-8}\n', b'{"id":9}\n'], id="ndjson"
    ),
#{% endif %}
#{% if cookiecutter.csv %}
    pytest.param(
        CSV,
        b"id,text\r\n",
        [b'7,"a ""word"",\r\n\nand\r\n"\r\n', b'-8,""\r\n', b'9,"""\r\n"""\r\n'],
        id="csv",
    ),
#{% endif %}
]
formats = pytest.mark.parametrize(("format", "header", "rows"), SAMPLES)


def test_every_export_can_be_downloaded() -> None:
    assert {export.path for export in EXPORTS.values()} == {route.path for route in ROUTES}


@formats
@given(seed=st.integers())
def test_rows_are_whole_wherever_the_bytes_are_cut(
    format: Format, header: bytes, rows: list[bytes], seed: int
) -> None:
    data = header + b"".join(rows)
    chance = random.Random(seed)  # noqa: S311
    cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randrange(9)))
    received, passed = Received(format), b""

    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        passed += received.take(data[start:end])

        whole = passed.removeprefix(header)
        assert whole == b"".join(rows[: received.rows])
        assert received.bytes == len(passed)
        assert received.last_key == [None, 7, -8, 9][received.rows]
    assert passed == data
    assert received.is_whole


@formats
@pytest.mark.parametrize("cut", range(1, 16))
def test_a_transfer_is_resumed_after_its_last_whole_row(
    format: Format, header: bytes, rows: list[bytes], cut: int
) -> None:
    received = Received(format)

    passed = received.take((header + b"".join(rows))[: len(header) + cut])
    received.resume()
    passed += received.take(header + b"".join(rows[received.rows :]))

    assert passed == header + b"".join(rows)
    assert received.rows == 3
    assert received.is_whole


@formats
def test_half_of_a_row_is_not_whole(format: Format, header: bytes, rows: list[bytes]) -> None:
    received = Received(format)

    assert received.take(header + rows[0][:-1]) == header

    assert not received.is_whole
#{% if cookiecutter.csv %}


def test_nothing_at_all_lacks_its_header() -> None:
    assert not Received(CSV).is_whole


def test_rows_of_other_columns_are_not_put_together() -> None:
    received = Received(CSV)
    received.take(b"id,name\r\n1,a\r\n")
    received.resume()

    with pytest.raises(ClientError, match=r"^The columns differ"):
        received.take(b"id,name,email\r\n2,b,c\r\n")
#{% endif %}
