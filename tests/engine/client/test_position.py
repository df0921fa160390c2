"""The place that a client of events keeps."""

from pathlib import Path

import pytest

from {{ cookiecutter.__package_name }}.client import ClientError
from {{ cookiecutter.__package_name }}.client.position import Position


def test_a_position_is_found_again(tmp_path: Path) -> None:
    file = tmp_path / "state"
    Position("0-1", file).move("0-2")

    position = Position("0-1", file)

    assert position.id == "0-2"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_replaced_and_never_half_written(tmp_path: Path) -> None:
    file = tmp_path / "state"
    position = Position(None, file)
    position.move("0-1")

    with file.open() as earlier:
        position.move("0-2")

        assert earlier.read() == "0-1\n"


def test_a_position_without_a_file_is_not_kept(tmp_path: Path) -> None:
    position = Position(None)

    position.move("0-1")

    assert position.id == "0-1"
    assert list(tmp_path.iterdir()) == []


def test_a_position_that_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "state"
    position = Position(None, file)
    position.move("0-1")
    written = file.stat().st_ino

    position.move("0-1")

    assert file.stat().st_ino == written


@pytest.mark.parametrize("content", [b"", b"# A title\n\nand more\n", b"\xff\xfe", b"0-1\n0-2\n"])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state"
    file.write_bytes(content)

    with pytest.raises(ClientError, match="holds no event's id"):
        Position(None, file)

    assert file.read_bytes() == content


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"^--state=.* cannot be read: Is a directory\.$"):
        Position(None, tmp_path)
    with pytest.raises(ClientError, match=r"^--state=.* cannot be written: No such file"):
        Position(None, tmp_path / "nowhere" / "state").move("0-1")


@pytest.mark.parametrize("id", ["", "two words", "ü", "line\nend", "x" * 257])
def test_what_is_no_id_is_refused(id: str) -> None:
    with pytest.raises(ClientError, match=r"^--after=.* is not accepted"):
        Position(id)
