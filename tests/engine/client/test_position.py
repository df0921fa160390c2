"""The position of a client, in memory and in a file."""

import os
import stat
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


@pytest.mark.parametrize("kind", ["device", "folder", "pipe", "link", "broken link"])
def test_state_that_is_no_file_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    (tmp_path / "target").write_text("0-1\n")
    file = Path(os.devnull) if kind == "device" else tmp_path / "state"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind != "device":
        file.symlink_to(tmp_path / ("target" if kind == "link" else "nowhere"))
    mode = file.lstat().st_mode

    with pytest.raises(ClientError, match=r"^Invalid --state='.*': expected a regular file\.$"):
        Position(None, file)

    assert file.lstat().st_mode == mode
    assert (tmp_path / "target").read_text() == "0-1\n"


@pytest.mark.parametrize("is_there", [True, False])
def test_symbolic_link_in_place_of_new_file_is_not_followed(tmp_path: Path, is_there: bool) -> None:
    file, target = tmp_path / "state", tmp_path / "target"
    if is_there:
        target.write_text("kept")
    (tmp_path / "state.new").symlink_to(target)

    Position(None, file).move("0-1")

    assert file.read_text() == "0-1\n"
    assert target.exists() is is_there
    assert not is_there or target.read_text() == "kept"


def test_state_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_text("0-0\n")
    file.chmod(0o644)

    Position(None, file).move("0-1")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_unreadable_and_unwritable_files_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(ClientError, match=r"^Cannot write --state='.*': No such file"):
        Position(None, tmp_path / "nowhere" / "state").move("0-1")
    (tmp_path / "state").write_text("0-1\n")
    monkeypatch.setattr(Path, "read_text", fail)
    with pytest.raises(ClientError, match=r"^Cannot read --state='.*': Permission denied\.$"):
        Position(None, tmp_path / "state")


@pytest.mark.parametrize("id", ["", "two words", "ü", "line\nend", "x" * 257])
def test_invalid_id_is_rejected(id: str) -> None:
    with pytest.raises(ClientError, match=r"^Invalid --after=.*: expected the id of an event\.$"):
        Position(id)
