"""The parts that all formats share: file names, and numbers that no format has."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_api.streaming.exports.response import content_disposition, is_not_finite

from .cells import characters

surrogates = st.integers(0xD800, 0xDFFF).map(chr)


@pytest.mark.parametrize(
    ("filename", "header"),
    [
        ("users.txt", 'attachment; filename="users.txt"'),
        ("ünits.txt", "attachment; filename=\"u_nits.txt\"; filename*=UTF-8''%C3%BCnits.txt"),
        ('a"b.txt', "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
        ("a/b.txt", "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%2Fb.txt"),
    ],
)
def test_file_name_is_readable_for_every_client(filename: str, header: str) -> None:
    assert content_disposition(filename) == header


@given(st.lists(characters | surrogates).map("".join))
def test_file_name_cannot_break_out_of_header(filename: str) -> None:
    header = content_disposition(filename)

    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert "\\" not in header


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (1.5, False),
        (float("nan"), True),
        (float("-inf"), True),
        (Decimal("1.5"), False),
        (Decimal("NaN"), True),
        (Decimal("Infinity"), True),
        (2**2000, False),
        ("NaN", False),
        (None, False),
    ],
)
def test_only_nan_and_infinities_are_not_finite(cell: Any, expected: bool) -> None:
    assert is_not_finite(cell) is expected
