"""The names of files, in every script and for every client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_api.streaming.exports.routes import content_disposition

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
