"""The position of a client, in memory and in a file."""

from pathlib import Path

import pytest

from streaming_api.streaming.client.position import Position
from streaming_api.streaming.client.service import ClientError


def test_position_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "state"
    Position("0-1", file).move("0-2")

    position = Position("0-1", file)

    assert position.id == "0-2"
    assert list(tmp_path.iterdir()) == [file]


def test_file_is_replaced_atomically(tmp_path: Path) -> None:
    file = tmp_path / "state"
    position = Position(None, file)
    position.move("0-1")

    with file.open() as earlier:
        position.move("0-2")

        assert earlier.read() == "0-1\n"


def test_position_without_file_is_in_memory(tmp_path: Path) -> None:
    position = Position(None)

    position.move("0-1")

    assert position.id == "0-1"
    assert list(tmp_path.iterdir()) == []


def test_same_position_is_not_written_again(tmp_path: Path) -> None:
    file = tmp_path / "state"
    position = Position(None, file)
    position.move("0-1")
    written = file.stat().st_ino

    position.move("0-1")

    assert file.stat().st_ino == written


@pytest.mark.parametrize("content", [b"", b"# A title\n\nand more\n", b"\xff\xfe", b"0-1\n0-2\n"])
def test_file_without_id_is_rejected_and_kept(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state"
    file.write_bytes(content)

    with pytest.raises(ClientError, match=r"^Invalid --state='.*': expected the id of an event"):
        Position(None, file)

    assert file.read_bytes() == content


def test_unreadable_and_unwritable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"^Cannot read --state='.*': Is a directory\.$"):
        Position(None, tmp_path)
    with pytest.raises(ClientError, match=r"^Cannot write --state='.*': No such file"):
        Position(None, tmp_path / "nowhere" / "state").move("0-1")


@pytest.mark.parametrize("id", ["", "two words", "ü", "line\nend", "x" * 257])
def test_invalid_id_is_rejected(id: str) -> None:
    with pytest.raises(ClientError, match=r"^Invalid --after=.*: expected the id of an event\.$"):
        Position(id)
