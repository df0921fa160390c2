"""Downloading exports by the command line: whole, or resumed until they are."""

import os
import pty
import subprocess
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI, Response

from {{ cookiecutter.__package_name }}.client.formats import EXPORTS, Export, Name

from ..live.process import PATIENCE, SERVE
from .conftest import Run
from .relay import relay

ROWS = 1000
"""How many rows a new database has."""
CUT = 3000
"""Bytes that are not all of an export, however it is transferred, and hold whole rows of it."""


@pytest.fixture(params=EXPORTS)
def name(request: pytest.FixtureRequest) -> str:
    """Each of the exports."""
    name: Name = request.param
    return str(name)


@pytest.fixture
def export(name: str) -> Export:
    """What the client knows of it."""
    return EXPORTS[Name(name)]


@pytest.fixture
def whole(server: str, export: Export) -> bytes:
    """All of it, by another client."""
    return httpx2.get(server + export.path, timeout=PATIENCE).content


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where it shall be."""
    return tmp_path / "export"


@pytest.fixture
def part(file: Path) -> Path:
    """Where it is until it is whole."""
    return file.with_name("export.part")


def test_a_file_is_the_export(run: Run, name: str, whole: bytes, file: Path, part: Path) -> None:
    file.write_bytes(b"an earlier one")

    result = run("export", name, str(file))

    assert file.read_bytes() == whole
    assert not part.exists()
    assert result.stderr.startswith(f"{ROWS} rows, {len(whole)} bytes, ")
    assert (result.exit_code, result.stdout) == (0, "")


def test_stdout_is_the_export(run: Run, name: str, whole: bytes) -> None:
    result = run("export", name, "-")

    assert result.stdout_bytes == whole
    assert result.exit_code == 0


def test_a_part_of_it_is_downloaded_by_key_and_number(
    run: Run, name: str, export: Export, server: str
) -> None:
    params = {"after": 990, "limit": 5}

    result = run("export", name, "-", "--after", "990", "--limit", "5")

    assert result.stdout_bytes == httpx2.get(server + export.path, params=params).content
    assert result.stderr.startswith("5 rows, ")


def test_a_transfer_that_breaks_never_looks_whole_and_is_resumed(
    run: Run, name: str, server: str, whole: bytes, file: Path, part: Path
) -> None:
    with relay(server, [CUT]) as url:
        broken = run("export", name, str(file), url=url)

    received = part.read_bytes()
    rows = received.count(b"\n") - whole.startswith(b"id,")
    assert 0 < rows < ROWS
    assert whole.startswith(received)
    assert received.endswith(b"\n")
    assert not file.exists()
    assert broken.stderr.startswith(f"The transfer broke after {rows} rows: ")
    assert broken.stderr.endswith(f" Go on with --resume, or elsewhere with --after {rows}.\n")
    assert (broken.exit_code, broken.stdout) == (1, "")

    part.write_bytes(received[:-3])
    result = run("export", name, str(file), "--resume")

    assert result.exit_code == 0
    assert file.read_bytes() == whole
    assert not part.exists()


def test_half_of_a_row_that_nothing_follows_is_cut_off(
    run: Run, name: str, whole: bytes, file: Path, part: Path
) -> None:
    part.write_bytes(whole + b"1001")

    result = run("export", name, str(file), "--resume")

    assert result.exit_code == 0
    assert file.read_bytes() == whole


def test_a_limit_counts_what_is_there_already(
    run: Run, name: str, server: str, export: Export, file: Path
) -> None:
    limit = ("--limit", "900")
    with relay(server, [CUT]) as url:
        run("export", name, str(file), *limit, url=url)

    result = run("export", name, str(file), *limit, "--resume")

    assert result.exit_code == 0
    assert file.read_bytes() == httpx2.get(server + export.path, params={"limit": 900}).content


def test_a_transfer_to_stdout_that_breaks_goes_on_by_key(
    run: Run, name: str, server: str, whole: bytes
) -> None:
    with relay(server, [CUT]) as url:
        result = run("export", name, "-", url=url)

    assert whole.startswith(result.stdout_bytes)
    assert result.stdout_bytes.endswith(b"\n")
    rows = result.stdout_bytes.count(b"\n") - whole.startswith(b"id,")
    assert result.stderr.endswith(f" Go on with --after {rows}.\n")
    assert result.exit_code == 1


def test_a_transfer_that_breaks_before_its_first_row_leaves_nothing(
    run: Run, name: str, server: str, file: Path, part: Path
) -> None:
    with relay(server, [10]) as url:
        result = run("export", name, str(file), url=url)

    assert result.stderr.startswith("The transfer broke after 0 rows: ")
    assert result.exit_code == 1
    assert not file.exists()
    assert not part.exists()


def test_resuming_what_was_not_begun_begins_it(
    run: Run, name: str, whole: bytes, file: Path
) -> None:
    result = run("export", name, str(file), "--resume")

    assert result.exit_code == 0
    assert file.read_bytes() == whole


def test_half_of_a_row_is_a_broken_transfer_whatever_the_server_says(
    app: FastAPI, server: str, run: Run, name: str, export: Export, whole: bytes, file: Path
) -> None:
    @app.get(f"/other{export.path}")
    async def other() -> Response:
        return Response(whole[:-3])

    result = run("export", name, str(file), url=f"{server}/other")

    assert "rows: it ends in the middle of a row. Go on with --resume" in result.stderr
    assert result.exit_code == 1
    assert not file.exists()


def test_a_refusal_is_told_in_the_words_of_the_service(run: Run, name: str, part: Path) -> None:
    result = run("export", name, str(part.with_suffix("")), "--after", "9" * 20)

    assert result.stderr.startswith("422 Unprocessable ")
    assert "query.after: Input should be less than or equal to" in result.stderr
    assert result.exit_code == 1
    assert not part.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["/dev/null"], "FILE='/dev/null' is not accepted: it is no file."),
        (["-", "--resume"], "--resume needs a FILE; for stdout there is --after."),
        (
            ["/nowhere/export"],
            "FILE='/nowhere/export' cannot be written: No such file or directory.",
        ),
    ],
)
def test_a_bad_argument_is_named_in_one_sentence(
    run: Run, name: str, arguments: list[str], sentence: str
) -> None:
    result = run("export", name, *arguments)

    assert result.stderr == f"{sentence}\n"
    assert result.exit_code == 1


def test_what_cannot_be_exported_is_named(run: Run) -> None:
    result = run("export", "nothing", "-")

    assert "'nothing'" in result.stderr
    assert all(f"'{name}'" in result.stderr for name in EXPORTS)
    assert result.exit_code == 2


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_shows_how_far_it_is(
    server: str, name: str, file: Path, is_terminal: bool
) -> None:
    command = [SERVE[0], "export", name, str(file), "--url", server]
    master, slave = pty.openpty()
    pipe = subprocess.PIPE

    with (
        os.fdopen(master, "rb", buffering=0) as screen,
        os.fdopen(slave, "wb") as terminal,
        subprocess.Popen(  # noqa: S603
            command, stdout=pipe, stderr=terminal if is_terminal else pipe
        ) as running,
    ):
        said = b"" if is_terminal else running.communicate(timeout=PATIENCE)[1]
        assert running.wait(PATIENCE) == 0
        said = said or screen.read(1 << 16)

    assert (b"\x1b[" in said) is is_terminal
    assert f"{ROWS} rows, ".encode() in said
