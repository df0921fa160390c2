"""Downloading exports by the command line: complete, or resumable."""

import os
import pty
import subprocess
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI, Response

from streaming_api.streaming.client.formats import FORMATS
from streaming_api.streaming.exports import database as database_module

from ..exports.formats import FORMATS as SERVED
from ..exports.formats import Format
from ..exports.tables import EXPORTS, sample_word, words
from .conftest import TIMEOUT, Run, Start
from .relay import relay

ROWS = 300
CUT = 6000
"""Bytes with a part of the words, compressed or not, that has complete rows."""
TABLES = [export.table for export in EXPORTS]


@pytest.fixture(autouse=True)
def many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Create more rows than a broken transfer has."""
    monkeypatch.setattr(database_module, "SAMPLE_ROWS", ROWS)


@pytest.fixture(params=SERVED, ids=lambda format: format.extension)
def format(request: pytest.FixtureRequest) -> Format:
    """Each of the chosen formats."""
    chosen: Format = request.param
    return chosen


@pytest.fixture
def path(format: Format) -> str:
    """The path of the words, whose key is text in the last column."""
    return format.path(words)


@pytest.fixture
def whole(http: httpx2.Client, path: str) -> bytes:
    """All words, received by another client."""
    return http.get(path).content


@pytest.fixture
def file(tmp_path: Path, format: Format) -> Path:
    """The file to download to, whose name has the format."""
    return tmp_path / f"words.{format.extension}"


@pytest.fixture
def part(file: Path) -> Path:
    """The file until it is complete."""
    return file.with_name(f"{file.name}.part")


def count_rows(data: bytes) -> int:
    return data.count(b"\n") - data.startswith(b"meaning,")


def last_key(number: int) -> str:
    return str(sample_word(number)["word"])


def test_file_is_the_export(run: Run, whole: bytes, file: Path, part: Path) -> None:
    file.write_bytes(b"an earlier one")

    result = run("export", "words", str(file))

    assert file.read_bytes() == whole
    assert not part.exists()
    assert result.stderr.startswith(f"{ROWS} rows, {len(whole)} bytes, ")
    assert (result.exit_code, result.stdout) == (0, "")


def test_stdout_is_the_export(run: Run, format: Format, whole: bytes) -> None:
    result = run("export", "words", "-", "--format", format.extension)

    assert result.stdout_bytes == whole
    assert result.exit_code == 0


@pytest.mark.parametrize("target", ["-", "words", "words.txt"])
def test_first_format_is_the_default(http: httpx2.Client, run: Run, target: str) -> None:
    result = run("export", "v", target)

    written = result.stdout_bytes if target == "-" else Path(target).read_bytes()
    assert written == http.get(f"/export/v.{next(iter(FORMATS))}").content
    assert result.exit_code == 0


def test_format_option_overrides_extension(
    run: Run, format: Format, whole: bytes, tmp_path: Path
) -> None:
    for extension in FORMATS:
        file = tmp_path / f"words.{extension}"

        run("export", "words", str(file), "--format", format.extension)

        assert file.read_bytes() == whole


def test_page_is_selected_by_key_and_number(run: Run, http: httpx2.Client, path: str) -> None:
    params: dict[str, str | int] = {"after": last_key(290), "limit": 5}
    extension = path.rpartition(".")[2]

    result = run(
        *("export", "words", "-", "--format", extension),
        *("--after", last_key(290), "--limit", "5"),
    )

    assert result.stdout_bytes == http.get(path, params=params).content
    assert result.stderr.startswith("5 rows, ")


def test_broken_transfer_is_named_and_resumed(
    run: Run, server: str, whole: bytes, file: Path, part: Path
) -> None:
    with relay(server, [CUT]) as url:
        broken = run("export", "words", str(file), url=url)

    received = part.read_bytes()
    rows = count_rows(received)
    assert 0 < rows < ROWS
    assert whole.startswith(received)
    assert received.endswith(b"\n")
    assert not file.exists()
    assert broken.stderr.startswith(f"The transfer broke after {rows} rows: ")
    assert broken.stderr.endswith(
        f" Continue with --resume, or elsewhere with --after {last_key(rows)}.\n"
    )
    assert (broken.exit_code, broken.stdout) == (1, "")

    part.write_bytes(received[:-3])
    result = run("export", "words", str(file), "--resume")

    assert result.exit_code == 0
    assert result.stderr.startswith(f"{ROWS} rows, {len(whole)} bytes, ")
    assert file.read_bytes() == whole
    assert not part.exists()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_key_resumes_its_export(
    http: httpx2.Client, run: Run, format: Format, table: object, tmp_path: Path
) -> None:
    (export,) = (each for each in EXPORTS if each.table is table)
    whole = http.get(format.path(export.table)).content
    file = tmp_path / f"export.{format.extension}"
    file.with_name(f"{file.name}.part").write_bytes(whole[: len(whole) // 2])

    result = run("export", export.name, str(file), "--resume")

    assert result.exit_code == 0
    assert file.read_bytes() == whole


def test_incomplete_row_is_cut_off(run: Run, whole: bytes, file: Path, part: Path) -> None:
    part.write_bytes(whole + b"half")

    result = run("export", "words", str(file), "--resume")

    assert result.exit_code == 0
    assert file.read_bytes() == whole


def test_limit_includes_resumed_rows(
    run: Run, http: httpx2.Client, path: str, whole: bytes, file: Path, part: Path
) -> None:
    part.write_bytes(whole[: len(whole) // 2])

    result = run("export", "words", str(file), "--limit", "250", "--resume")

    assert result.exit_code == 0
    assert file.read_bytes() == http.get(path, params={"limit": 250}).content


def test_limit_that_is_reached_adds_no_row(
    run: Run, http: httpx2.Client, path: str, whole: bytes, file: Path, part: Path
) -> None:
    part.write_bytes(http.get(path, params={"limit": 10}).content)

    result = run("export", "words", str(file), "--limit", "5", "--resume")

    assert result.exit_code == 0
    assert count_rows(file.read_bytes()) == 10


def test_broken_transfer_to_stdout_continues_by_key(
    run: Run, server: str, format: Format, whole: bytes
) -> None:
    with relay(server, [CUT]) as url:
        result = run("export", "words", "-", "--format", format.extension, url=url)

    assert whole.startswith(result.stdout_bytes)
    assert result.stdout_bytes.endswith(b"\n")
    key = last_key(count_rows(result.stdout_bytes))
    assert result.stderr.endswith(f" Continue with --after {key}.\n")
    assert result.exit_code == 1


def test_transfer_without_rows_leaves_no_file(
    run: Run, server: str, file: Path, part: Path
) -> None:
    with relay(server, [10]) as url:
        result = run("export", "words", str(file), url=url)

    assert result.stderr.startswith("The transfer broke after 0 rows: ")
    assert result.exit_code == 1
    assert not file.exists()
    assert not part.exists()


def test_resume_without_earlier_transfer_starts(run: Run, whole: bytes, file: Path) -> None:
    result = run("export", "words", str(file), "--resume")

    assert result.exit_code == 0
    assert file.read_bytes() == whole


def test_response_that_ends_within_a_row_is_broken(
    app: FastAPI, server: str, run: Run, path: str, whole: bytes, file: Path
) -> None:
    @app.get(f"/other{path}")
    async def other() -> Response:
        return Response(whole[:-3])

    result = run("export", "words", str(file), url=f"{server}/other")

    assert "rows: it ends within a row. Continue with --resume" in result.stderr
    assert result.exit_code == 1
    assert not file.exists()


def test_rejected_export_is_described(run: Run, file: Path, part: Path) -> None:
    result = run("export", "notes", str(file), "--after", "9" * 20)

    assert result.stderr.startswith("422 Unprocessable Entity: query.after: Input should be ")
    assert result.exit_code == 1
    assert not part.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["words", "/dev/null"], "Invalid FILE='/dev/null': expected a regular file."),
        (["words", "-", "--resume"], "Invalid --resume: expected a FILE; with stdout use --after."),
        (
            ["words", "/nowhere/export"],
            "Cannot write FILE='/nowhere/export': No such file or directory.",
        ),
        (
            ["words", "-", "--format", "xml"],
            f"Invalid --format='xml': expected {' or '.join(FORMATS)}.",
        ),
        (
            ["nothing", "-"],
            f"Invalid NAME='nothing': expected {' or '.join(each.name for each in EXPORTS)}.",
        ),
    ],
)
def test_invalid_argument_is_named_in_one_line(
    run: Run, arguments: list[str], message: str
) -> None:
    result = run("export", *arguments)

    assert result.stderr == f"{message}\n"
    assert (result.exit_code, result.stdout) == (1, "")


def test_unavailable_service_is_named_in_one_line(run: Run, file: Path, part: Path) -> None:
    result = run("export", "words", str(file), url="http://127.0.0.1:1")

    assert result.stderr == "The transfer broke after 0 rows: [Errno 111] Connection refused.\n"
    assert result.exit_code == 1
    assert not part.exists()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(
    start: Start, tmp_path: Path, is_terminal: bool
) -> None:
    master, slave = pty.openpty()

    with (
        os.fdopen(master, "rb", buffering=0) as screen,
        os.fdopen(slave, "wb") as terminal,
        start(
            *("export", "words", str(tmp_path / "words")),
            stderr=terminal if is_terminal else subprocess.PIPE,
        ) as running,
    ):
        shown = b"" if is_terminal else running.communicate(timeout=TIMEOUT)[1]
        assert running.wait(TIMEOUT) == 0
        shown = shown or screen.read(1 << 16)

    assert (b"\x1b[" in shown) is is_terminal
    assert f"{ROWS} rows, ".encode() in shown
