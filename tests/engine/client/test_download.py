"""Downloading exports by the command line: complete, or resumable."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import quote as quote_url

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from streaming_api.streaming.client import download
from streaming_api.streaming.client.formats import FORMATS

from .conftest import TIMEOUT, Run, Start
from .relay import relay
from .tables import EXPORTS, ROWS, sample_phone, sample_word

CUT = 6000
"""Bytes with a part of the words, compressed or not, that has complete rows."""
NAMES = " or ".join(export.name for export in EXPORTS)


@pytest.fixture(params=FORMATS)
def format(request: pytest.FixtureRequest) -> str:
    """The extension of each of the chosen formats."""
    extension: str = request.param
    return extension


@pytest.fixture
def path(format: str) -> str:
    """The path of the words, whose key is text in the last column."""
    return f"/export/words.{format}"


@pytest.fixture
def whole(http: httpx2.Client, path: str) -> bytes:
    """All words, received by another client."""
    return http.get(path).content


@pytest.fixture
def file(tmp_path: Path, format: str) -> Path:
    """The file to download to, whose name has the format."""
    return tmp_path / f"words.{format}"


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


def test_stdout_is_the_export(run: Run, format: str, whole: bytes) -> None:
    result = run("export", "words", "-", "--format", format)

    assert result.stdout_bytes == whole
    assert result.exit_code == 0


@pytest.mark.parametrize("target", ["-", "words", "words.txt"])
def test_first_format_is_the_default(http: httpx2.Client, run: Run, target: str) -> None:
    result = run("export", "v", target)

    written = result.stdout_bytes if target == "-" else Path(target).read_bytes()
    assert written == http.get(f"/export/v.{next(iter(FORMATS))}").content
    assert result.exit_code == 0


def test_extension_is_that_of_any_case(run: Run, whole: bytes, file: Path) -> None:
    upper = file.with_name(file.name.upper())

    result = run("export", "words", str(upper))

    assert result.exit_code == 0
    assert upper.read_bytes() == whole


def test_format_option_overrides_extension(
    run: Run, format: str, whole: bytes, tmp_path: Path
) -> None:
    for extension in FORMATS:
        file = tmp_path / f"words.{extension}"

        run("export", "words", str(file), "--format", format)

        assert file.read_bytes() == whole


def test_rows_and_columns_are_selected(run: Run, http: httpx2.Client, path: str) -> None:
    params: dict[str, str | int] = {"after": last_key(290), "limit": 5, "columns": "word"}
    extension = path.rpartition(".")[2]

    result = run(
        *("export", "words", "-", "--format", extension),
        *("--after", last_key(290), "--limit", "5", "--columns", "word"),
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
        f" Continue with --resume, or elsewhere with --after {quote(last_key(rows))}.\n"
    )
    assert (broken.exit_code, broken.stdout) == (1, "")

    part.write_bytes(received[:-3])
    result = run("export", "words", str(file), "--resume")

    assert result.exit_code == 0
    assert result.stderr.startswith(f"{ROWS} rows, {len(whole)} bytes, ")
    assert file.read_bytes() == whole
    assert not part.exists()


@pytest.mark.parametrize("name", [export.name for export in EXPORTS])
def test_every_key_resumes_its_export(
    http: httpx2.Client, run: Run, format: str, name: str, tmp_path: Path
) -> None:
    whole = http.get(f"/export/{quote_url(name)}.{format}").content
    file = tmp_path / f"export.{format}"
    part = file.with_name(f"{file.name}.part")
    size = len(whole)

    for length in (size // 2, size // 2 + 20, size // 2 + 40, size - 3, size):
        part.write_bytes(whole[:length])
        result = run("export", name, str(file), "--resume")

        assert result.exit_code == 0, result.stderr
        assert file.read_bytes() == whole


def test_resumed_transfer_has_rows_of_file_and_others_only(
    app: FastAPI, run: Run, whole: bytes, path: str, file: Path, part: Path, server: str
) -> None:
    asked: list[dict[str, str]] = []

    @app.get(f"/other{path}")
    async def other(request: Request) -> Response:
        asked.append(dict(request.query_params))
        return Response(whole[:100].partition(b"\n")[0] + b"\n" if path.endswith("csv") else b"")

    part.write_bytes(whole[: len(whole) // 2])
    rows = count_rows(part.read_bytes())

    result = run("export", "words", str(file), "--resume", url=f"{server}/other")

    assert asked == [{"after": last_key(rows)}]
    assert result.stderr.startswith(f"{rows} rows, ")


def test_key_that_csv_may_have_changed_does_not_resume(
    http: httpx2.Client, run: Run, format: str, server: str, tmp_path: Path
) -> None:
    whole = http.get(f"/export/phones.{format}").content
    file = tmp_path / f"phones.{format}"

    with relay(server, [1500]) as url:
        broken = run("export", "phones", str(file), url=url)
        piped = run("export", "phones", "-", "--format", format)
    result = run("export", "phones", str(file), "--resume")

    is_certain = format == "ndjson"
    assert (" Continue with --resume" in broken.stderr) is is_certain
    assert ("--after '+49 " in broken.stderr) is is_certain
    assert piped.exit_code == result.exit_code == 0
    assert file.read_bytes() == whole


def test_earlier_row_with_certain_key_resumes(
    run: Run, http: httpx2.Client, monkeypatch: pytest.MonkeyPatch, server: str, file: Path
) -> None:
    # Of three keys in the order of the export one is certain in CSV.
    monkeypatch.setattr(download, "BLOCK", 16)
    format = file.suffix.removeprefix(".")
    path = f"/export/formulas.{format}"
    whole = http.get(path).content
    file.with_name(f"{file.name}.part").write_bytes(whole[: len(whole) - 30])

    result = run("export", "formulas", str(file), "--resume")

    assert result.exit_code == 0
    assert file.read_bytes() == whole


def test_columns_without_key_do_not_resume(run: Run, server: str) -> None:
    format = next(iter(FORMATS))
    arguments = ("export", "words", f"meanings.{format}", "--columns", "meaning")

    with relay(server, [CUT]) as url:
        broken = run(*arguments, url=url)
    result = run(*arguments, "--resume")

    assert "Continue" not in broken.stderr
    assert result.stderr.endswith(" has no rows of this export with its key.\n")
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "content",
    [
        b"A title\n\nand more\n",
        b'{"meaning":"","word":"a"}\n{"id":1}\n',
        b"[1]\n[2]\n",
        b"\xff\n\xfe\n\xfd\n",
        b"[\n" + b"[" * 100_000 + b"\n",
        b'id,name\r\n1,"a"\r\n',
        b'meaning,word\r\n"a" b,"c"\r\n',
        b"meaning,word\r\n1,2,3\r\n",
        b"PK\x03\x04\n\x00\n",
    ],
)
def test_resume_of_something_else_is_refused_and_kept(
    run: Run, file: Path, part: Path, content: bytes
) -> None:
    part.write_bytes(content)

    result = run("export", "words", str(file), "--resume")

    assert result.stderr == (
        f"Invalid --resume: {str(part)!r} has no rows of this export with its key.\n"
    )
    assert result.exit_code == 1
    assert part.read_bytes() == content


def test_rows_with_other_columns_than_the_file_are_not_appended(
    run: Run, file: Path, part: Path, path: str, http: httpx2.Client
) -> None:
    part.write_bytes(http.get(path, params={"limit": 3, "columns": "word"}).content)
    before = part.read_bytes()

    result = run("export", "words", str(file), "--resume")

    assert result.stderr == "The columns differ from those of the rows before.\n"
    assert result.exit_code == 1
    assert part.read_bytes() == before


def test_response_in_another_format_is_refused(
    app: FastAPI, server: str, run: Run, path: str, file: Path
) -> None:
    @app.get(f"/other{path}")
    async def other() -> Response:
        body = "<html>\n<body>\n" if path.endswith("ndjson") else '<a>\n"b"c\n'
        return Response(body, media_type=FORMATS[path.rpartition(".")[2]].media_type)

    result = run("export", "words", str(file), url=f"{server}/other")

    assert result.stderr == "The rows are not in the format of the export.\n"
    assert result.exit_code == 1
    assert not file.exists()


@pytest.mark.parametrize("body", ["", "<!doctype html>\n<title>Log in</title>\n", "{}\n"])
def test_page_in_place_of_the_export_is_refused(
    app: FastAPI, server: str, run: Run, path: str, file: Path, body: str
) -> None:
    @app.get(f"/other{path}")
    async def other() -> Response:
        return Response(body, media_type="text/html")

    result = run("export", "words", str(file), url=f"{server}/other")

    assert result.stderr == "The response is not the export, but 'text/html'.\n"
    assert result.exit_code == 1
    assert not file.exists()


def test_filter_selects_rows(http: httpx2.Client, run: Run, format: str, server: str) -> None:
    name = sample_phone(7)["name"]

    result = run("export", "phones", "-", "--format", format, "--filter", f"name={name}")

    assert (
        result.stdout_bytes == http.get(f"/export/phones.{format}", params={"name": name}).content
    )
    assert result.stderr.startswith("1 rows, ")


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("phones", "name", "name=VALUE"),
        ("phones", "phone=1", "name=VALUE"),
        ("phones", "limit=1", "name=VALUE"),
        ("words", "word=a", "no filter"),
    ],
)
def test_unknown_filter_is_refused(run: Run, name: str, given: str, expected: str) -> None:
    result = run("export", name, "-", "--filter", given)

    assert result.stderr == f"Invalid --filter={given!r}: expected {expected}.\n"
    assert (result.exit_code, result.stdout) == (1, "")


def test_second_export_to_a_file_is_refused(
    http: httpx2.Client, app: FastAPI, server: str, run: Run, whole: bytes, path: str, file: Path
) -> None:
    results: list[Any] = []

    @app.get(f"/other{path}")
    def other() -> Response:
        results.append(run("export", "words", str(file)))
        results.append(run("export", "words", str(file), "--resume"))
        return Response(whole)

    first = run("export", "words", str(file), url=f"{server}/other")

    assert first.exit_code == 0
    assert file.read_bytes() == whole
    for second in results:
        assert second.stderr == f"Another process is writing '{file}.part'.\n"
        assert second.exit_code == 1


def test_file_that_was_renamed_meanwhile_is_not_written(
    run: Run, file: Path, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def finish(*_: object) -> None:
        part.replace(file)

    monkeypatch.setattr(fcntl, "flock", finish)
    part.write_bytes(b"complete")

    result = run("export", "words", str(file))

    assert result.stderr == f"Another process is writing {str(part)!r}.\n"
    assert file.read_bytes() == b"complete"


def test_export_without_locks_is_complete(
    run: Run, whole: bytes, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)

    result = run("export", "words", str(file))

    assert result.exit_code == 0
    assert file.read_bytes() == whole


def permissions(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize("earlier", [None, 0o640])
def test_incomplete_file_is_private_and_complete_one_is_not(
    app: FastAPI,
    server: str,
    run: Run,
    whole: bytes,
    path: str,
    file: Path,
    part: Path,
    earlier: int | None,
) -> None:
    while_open: list[int] = []
    umask = os.umask(0o022)
    part.touch(0o666)
    if earlier is not None:
        file.touch(earlier)

    @app.get(f"/other{path}")
    def other() -> Response:
        while_open.append(permissions(part))
        return Response(whole)

    try:
        run("export", "words", str(file), url=f"{server}/other")
    finally:
        os.umask(umask)

    assert while_open == [0o600]
    assert permissions(file) == (earlier or 0o644)


@pytest.mark.parametrize("is_there", [True, False])
def test_symbolic_link_in_place_of_part_is_not_followed(
    run: Run, file: Path, part: Path, tmp_path: Path, is_there: bool
) -> None:
    target = tmp_path / "target"
    if is_there:
        target.write_text("kept")
    part.symlink_to(target)

    for resume in ([], ["--resume"]):
        result = run("export", "words", str(file), *resume)

        assert result.stderr.startswith(f"Cannot write FILE={str(file)!r}: ")
        assert result.exit_code == 1
    assert target.exists() is is_there
    assert not is_there or target.read_text() == "kept"


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
    run: Run, server: str, format: str, whole: bytes
) -> None:
    with relay(server, [CUT]) as url:
        result = run("export", "words", "-", "--format", format, url=url)

    assert whole.startswith(result.stdout_bytes)
    assert result.stdout_bytes.endswith(b"\n")
    key = last_key(count_rows(result.stdout_bytes))
    assert result.stderr.endswith(f" Continue with --after {quote(key)}.\n")
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
    result = run("export", "devices", str(file), "--after", "9" * 20)

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
            f"Invalid NAME='nothing': expected {NAMES}.",
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


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(
    start: Start, tmp_path: Path, is_terminal: bool
) -> None:
    master, slave = os.openpty()

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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_is_named_in_one_line(start: Start) -> None:
    with (
        Path("/dev/full").open("wb") as full,
        start("export", "words", "-", stdout=full) as running,
    ):
        _, stderr = running.communicate(timeout=TIMEOUT)

    assert (running.returncode, stderr) == (1, b"No space left on device.\n")


def test_rows_are_written_as_they_arrive(app: FastAPI, start: Start, format: str) -> None:
    released, ended = threading.Event(), []
    rows = {"ndjson": b'{"word":"a"}\n', "csv": b"word\r\na\r\n"}[format]

    def body() -> Iterator[bytes]:
        yield rows
        released.wait(TIMEOUT)
        ended.append(True)

    @app.get(f"/other/export/words.{format}")
    async def words() -> Response:
        return StreamingResponse(body(), media_type=FORMATS[format].media_type)

    with start("export", "words", "-", "--format", format, path="/other") as process:
        assert process.stdout
        assert process.stdout.readline() == rows.splitlines(keepends=True)[0]
        assert ended == []
        released.set()
        assert process.wait(TIMEOUT) == 0


def test_closed_pipe_ends_quietly(start: Start) -> None:
    with start("export", "words", "-") as running:
        assert running.stdout
        running.stdout.close()
        assert running.stderr
        stderr = running.stderr.read()

    assert (running.returncode, stderr) == (1, b"")
