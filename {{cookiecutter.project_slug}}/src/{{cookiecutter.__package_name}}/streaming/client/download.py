"""Downloading an export: complete, or visibly broken and resumable."""

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

from .formats import Format
from .service import ClientError, describe_error

READ_TIMEOUT_SECONDS = 60
STDOUT = "-"
BLOCK = 1 << 20


class Received:
    """Splits the received bytes into complete rows; `key` is the column that resumes an export."""

    def __init__(self, format: Format, key: str) -> None:
        self.rows = 0
        self.bytes = 0
        """Number of bytes of complete rows, with the header."""
        self._format = format
        self._key = key
        self._header: bytes | None = None
        self._expects_header = format.has_header
        self._last_row = b""
        self._rest = b""

    @property
    def last_key(self) -> str | None:
        """The key of the last complete row; `None` before the first."""
        if not self._last_row:
            return None
        return self._format.key(self._header or b"", self._last_row, self._key)

    @property
    def is_complete(self) -> bool:
        """Whether the last row is complete."""
        return not self._rest and not self._expects_header

    def feed(self, data: bytes) -> bytes:
        """Return the rows that `data` completes, after the header if it is the first one.

        Raises `ClientError` if a resumed transfer has another header.
        """
        data = self._rest + data
        start = end = 0
        match = self._format.row.match
        if self._expects_header and (header := match(data)):
            end = header.end()
            if self._header is not None:
                start = end
                if self._header != header[0]:
                    raise ClientError("The columns differ from those of the rows in the file.")
            self._header = header[0]
            self._expects_header = False
        if not self._expects_header:
            row = None
            while following := match(data, end):
                row, end = following, following.end()
                self.rows += 1
            if row:
                self._last_row = row[0]
        self._rest = data[end:]
        self.bytes += end - start
        return data[start:end]

    def resume(self) -> None:
        """Discard an incomplete row, and expect the header of another transfer."""
        self._rest = b""
        self._expects_header = self._format.has_header


class Download:
    """Downloads the export at `path` into `target`, a file or `-` for stdout.

    Complete rows are collected in `target.part`, which is renamed when the export is complete.
    Raises `ClientError` for an invalid target.
    """

    def __init__(
        self, client: httpx2.Client, path: str, format: Format, key: str, target: str
    ) -> None:
        self._client = client
        self._path = path
        self._received = Received(format, key)
        self._file: Path | None = None
        if target != STDOUT:
            self._file = Path(target).resolve()
            if self._file.exists() and not self._file.is_file():
                raise ClientError(f"Invalid FILE={target!r}: expected a regular file.")

    def run(self, *, after: str | None, limit: int | None, resume: bool) -> str:
        """Download the rows with greater keys than `after`, at most `limit`; return a summary.

        With `resume` continue after the rows of an earlier transfer. Raises `ClientError`; for a
        broken transfer it says how to continue.
        """
        if self._file is None:
            if resume:
                raise ClientError("Invalid --resume: expected a FILE; with stdout use --after.")
            return self._transfer(sys.stdout.buffer, after, limit)
        part = self._file.with_name(f"{self._file.name}.part")
        try:
            with part.open("r+b" if resume and part.exists() else "w+b") as output:
                self._read(output)
                if self._received.last_key is not None:
                    after = self._received.last_key
                    limit = None if limit is None else max(0, limit - self._received.rows)
                summary = self._transfer(output, after, limit)
                os.fsync(output.fileno())
            os.replace(part, self._file)
        except ClientError:
            if not self._received.bytes:
                part.unlink()
            raise
        except OSError as error:
            file = str(self._file)
            raise ClientError(f"Cannot write FILE={file!r}: {error.strerror}.") from error
        return summary

    def _read(self, output: BinaryIO) -> None:
        """Read the rows in `output`, and cut off an incomplete one."""
        while data := output.read(BLOCK):
            self._received.feed(data)
        output.truncate(self._received.bytes)
        output.seek(self._received.bytes)
        self._received.resume()

    def _transfer(self, output: BinaryIO, after: str | None, limit: int | None) -> str:
        started, before = monotonic(), self._received.rows
        options = {"after": after, "limit": limit}
        params = {name: value for name, value in options.items() if value is not None}
        try:
            with (
                self._client.stream("GET", self._path, params=params) as response,
                progress_bar(quiet=self._file is None and sys.stdout.isatty()) as progress,
            ):
                if response.status_code != 200:
                    raise ClientError(describe_error(response))
                task = progress.add_task("", rows=self._received.rows, total=None)
                for data in response.iter_bytes():
                    output.write(self._received.feed(data))
                    progress.update(task, rows=self._received.rows, completed=self._received.bytes)
        except httpx2.HTTPError as error:
            raise ClientError(self._broken(str(error) or type(error).__name__)) from error
        finally:
            output.flush()
        if not self._received.is_complete:
            raise ClientError(self._broken("it ends within a row"))
        seconds = monotonic() - started
        rate = (self._received.rows - before) / max(seconds, 1e-6)
        size = self._received.bytes
        return f"{self._received.rows} rows, {size} bytes, {seconds:.1f} s, {rate:.0f} rows/s"

    def _broken(self, reason: str) -> str:
        """Describe how far a transfer got, and how to continue it."""
        message = f"The transfer broke after {self._received.rows} rows: {reason.rstrip('.')}."
        key = self._received.last_key
        if key is None:
            return message
        if self._file is None:
            return f"{message} Continue with --after {key}."
        return f"{message} Continue with --resume, or elsewhere with --after {key}."


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress]:
    """Show the progress on stderr if that is a terminal."""
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
