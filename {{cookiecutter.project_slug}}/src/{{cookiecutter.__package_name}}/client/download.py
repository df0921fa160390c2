"""Downloading an export: whole, or visibly broken and ready to be resumed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import BinaryIO

import httpx2
from rich.console import Console
from rich.progress import (
    FileSizeColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from .formats import Export, Format
from .service import ClientError, refusal

PATIENCE_SECONDS = 60
STDOUT = "-"
BLOCK = 1 << 20


class Received:
    """Takes bytes as they come, and passes on whole rows."""

    def __init__(self, format: Format) -> None:
        self.rows = 0
        self.bytes = 0
        """How many bytes were passed on."""
        self._format = format
#{% if cookiecutter.csv %}
        self._header: bytes | None = None
        self._header_is_due = format.has_header
#{% endif %}
        self._last_row = b""
        self._rest = b""

    @property
    def last_key(self) -> int | None:
        """The key of the last whole row; `None` before the first."""
        return self._format.key(self._last_row) if self._last_row else None

    @property
    def is_whole(self) -> bool:
        """Whether all that came was passed on."""
#{% if cookiecutter.csv %}
        return not self._rest and not self._header_is_due
#{% else %}
        return not self._rest
#{% endif %}

    def take(self, data: bytes) -> bytes:
#{% if cookiecutter.csv %}
        """Return the rows that `data` completes, after the header if it is the first one.

        Raises `ClientError` when a resumed transfer has another header.
        """
        data = self._rest + data
        start = end = 0
        match = self._format.row.match
        if self._header_is_due and (header := match(data)):
            end = header.end()
            if self._header is not None:
                start = end
                if self._header != header[0]:
                    raise ClientError("The columns differ from those of the rows that are here.")
            self._header = header[0]
            self._header_is_due = False
        if not self._header_is_due:
            row = None
            while following := match(data, end):
                row, end = following, following.end()
                self.rows += 1
            if row:
                self._last_row = row[0]
        self._rest = data[end:]
        self.bytes += end - start
        return data[start:end]
#{% else %}
        """Return the rows that `data` completes."""
        data = self._rest + data
        end = 0
        row = None
        while following := self._format.row.match(data, end):
            row, end = following, following.end()
            self.rows += 1
        if row:
            self._last_row = row[0]
        self._rest = data[end:]
        self.bytes += end
        return data[:end]
#{% endif %}

    def resume(self) -> None:
#{% if cookiecutter.csv %}
        """Forget half of a row, and expect the header of another transfer."""
        self._rest = b""
        self._header_is_due = self._format.has_header
#{% else %}
        """Forget half of a row."""
        self._rest = b""
#{% endif %}


class Download:
    """Downloads `export` into `target`, a path or `-` for stdout.

    What has arrived stands in a file beside it, in whole rows only, and gets its name when all is
    there. Raises `ClientError` for a target that cannot be one.
    """

    def __init__(self, client: httpx2.Client, export: Export, target: str) -> None:
        self._client = client
        self._export = export
        self._received = Received(export.format)
        self._file: Path | None = None
        if target != STDOUT:
            self._file = Path(target).resolve()
            if self._file.exists() and not self._file.is_file():
                raise ClientError(f"FILE={target!r} is not accepted: it is no file.")

    def run(self, *, after: int | None, limit: int | None, resume: bool) -> str:
        """Download the rows with greater keys than `after`, at most `limit`; say how it went.

        With `resume` go on after the rows that an earlier transfer left. Raises `ClientError`,
        for a broken transfer with the number of rows and how to go on.
        """
        if self._file is None:
            if resume:
                raise ClientError("--resume needs a FILE; for stdout there is --after.")
            return self._transfer(sys.stdout.buffer, after, limit)
        part = self._file.with_name(f"{self._file.name}.part")
        try:
            with part.open("r+b" if resume and part.exists() else "w+b") as output:
                self._read(output)
                if self._received.last_key is not None:
                    after = self._received.last_key
                    limit = None if limit is None else max(0, limit - self._received.rows)
                said = self._transfer(output, after, limit)
                os.fsync(output.fileno())
            os.replace(part, self._file)
        except ClientError:
            if not self._received.bytes:
                part.unlink()
            raise
        except OSError as error:
            file = str(self._file)
            raise ClientError(f"FILE={file!r} cannot be written: {error.strerror}.") from error
        return said

    def _read(self, output: BinaryIO) -> None:
        """Take in what `output` holds, and cut off half of a row."""
        while data := output.read(BLOCK):
            self._received.take(data)
        output.truncate(self._received.bytes)
        output.seek(self._received.bytes)
        self._received.resume()

    def _transfer(self, output: BinaryIO, after: int | None, limit: int | None) -> str:
        started, before = monotonic(), self._received.rows
        wanted = {"after": after, "limit": limit}
        params = {name: value for name, value in wanted.items() if value is not None}
        try:
            with (
                self._client.stream("GET", self._export.path, params=params) as response,
                shown(quiet=self._file is None and sys.stdout.isatty()) as progress,
            ):
                if response.status_code != 200:
                    raise ClientError(refusal(response))
                task = progress.add_task("", rows=self._received.rows, total=None)
                for data in response.iter_bytes():
                    output.write(self._received.take(data))
                    progress.update(task, rows=self._received.rows, completed=self._received.bytes)
        except httpx2.HTTPError as error:
            raise ClientError(self._broken(str(error) or type(error).__name__)) from error
        finally:
            output.flush()
        if not self._received.is_whole:
            raise ClientError(self._broken("it ends in the middle of a row"))
        seconds = monotonic() - started
        rate = (self._received.rows - before) / max(seconds, 1e-6)
        size = self._received.bytes
        return f"{self._received.rows} rows, {size} bytes, {seconds:.1f} s, {rate:.0f} rows/s"

    def _broken(self, reason: str) -> str:
        """Say how far a transfer came, and how it goes on."""
        said = f"The transfer broke after {self._received.rows} rows: {reason.rstrip('.')}."
        key = self._received.last_key
        if key is None:
            return said
        if self._file is None:
            return f"{said} Go on with --after {key}."
        return f"{said} Go on with --resume, or elsewhere with --after {key}."


@contextmanager
def shown(*, quiet: bool) -> Iterator[Progress]:
    """Show on stderr how far a transfer is, if that is a terminal."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        FileSizeColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as progress:
        yield progress
