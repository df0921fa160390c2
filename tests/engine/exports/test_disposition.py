"""File names in headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from {{ cookiecutter.__package_name }}.exports.disposition import content_disposition


@pytest.mark.parametrize(
    ("filename", "header"),
    [
        ("users.txt", 'attachment; filename="users.txt"'),
        ("ünits.txt", "attachment; filename=\"u_nits.txt\"; filename*=UTF-8''%C3%BCnits.txt"),
        ('a"b.txt', "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
        ("a/b.txt", "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%2Fb.txt"),
    ],
)
def test_a_file_name_is_readable_for_every_client(filename: str, header: str) -> None:
    assert content_disposition(filename) == header


@given(st.text())
def test_no_file_name_breaks_out_of_its_header(filename: str) -> None:
    header = content_disposition(filename)

    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert "\\" not in header
