"""Downloading an export: complete, or visibly broken and resumable."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from time import monotonic
from typing import BinaryIO, NamedTuple

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

from .files import exclusive, private, publish
from .formats import Format
from .service import ClientError, describe_error

READ_TIMEOUT_SECONDS = 60
STDOUT = "-"
BLOCK = 1 << 20


class Checkpoint(NamedTuple):
    """A row after which an export can be resumed: `after` is its key as the route takes it."""

    rows: int
    bytes: int
    after: str | None


START = Checkpoint(0, 0, None)


class Received:
    """Splits the received bytes into complete rows; `key` names the columns of the key."""

    def __init__(self, format: Format, key: Sequence[str]) -> None:
        self.rows = 0
        self.bytes = 0
        """Number of bytes of complete rows, with the header."""
        self.checkpoint = START
        self.media_type = format.media_type
        self._format = format
        self._key = key
        self._header = b""
        self._expects_header = format.has_header
        self._columns: list[str] = []
        self._rest: list[bytes] = []
        """The pieces of an incomplete row, joined only once."""
        self._in_quotes = False

    @property
    def is_complete(self) -> bool:
        """Whether the last row is complete."""
        return not any(self._rest) and not self._expects_header

    def feed(self, data: bytes) -> bytes:
        """Return the rows that `data` completes, after the header if they are the first.

        Raises `ClientError` if a row is not of the format, or has other columns than those before.
        """
        ends = self._row_ends(data)
        if not ends:
            self._rest.append(data)
            return b""
        complete = b"".join([*self._rest, data[: ends[-1]]])
        offset = len(complete) - ends[-1]
        self._rest = [data[ends[-1] :]]
        starts = [0, *(end + offset for end in ends[:-1])]
        first = 0
        if self._expects_header:
            self._expects_header = False
            self._header = complete[: ends[0] + offset]
            # The header of a resumed transfer is in the file already.
            first = len(self._header) if self.bytes else 0
            del starts[0]
        self.rows += len(starts)
        self.bytes += len(complete) - first
        if starts:
            self._inspect(complete[starts[-1] :])
        return complete[first:]

    def rewind(self) -> None:
        """Go back to the checkpoint, and expect the header of another transfer.

        Raises `ClientError` if the rows have no key.
        """
        if self.rows and not set(self._key) <= set(self._columns):
            raise ClientError("The rows have no key.")
        self.rows, self.bytes, _ = self.checkpoint
        self._rest = []
        self._in_quotes = False
        self._expects_header = self._format.has_header

    def _row_ends(self, data: bytes) -> list[int]:
        """Return where rows end in `data`, which follows the incomplete row."""
        ends = []
        end = data.find(b'"') + 1 if self._in_quotes else 0
        if end or not self._in_quotes:
            while row := self._format.row.match(data, end):
                end = row.end()
                ends.append(end)
        if self._format.has_quotes:
            before = self._in_quotes and not ends
            quotes = data.count(b'"', ends[-1] if ends else 0)
            self._in_quotes = (quotes + before) % 2 == 1
        return ends

    def _inspect(self, row: bytes) -> None:
        """Check the last complete row; it is a checkpoint if its key is certain."""
        try:
            cells = self._format.cells(self._header, row)
        except ValueError as error:
            raise ClientError("The rows are not in the format of the export.") from error
        columns = list(cells)
        if self._columns not in ([], columns):
            raise ClientError("The columns differ from those of the rows before.")
        self._columns = columns
        key = [cells.get(name) for name in self._key]
        if None not in key:
            after = key[0] if len(key) == 1 else json.dumps(key, ensure_ascii=False)
            self.checkpoint = Checkpoint(self.rows, self.bytes, after)


class Download:
    """Downloads the export at `path` into `target`, a file or `-` for stdout.

    Complete rows are collected in `target.part`, which is renamed when the export is complete.
    `params` are the filters and the columns. Raises `ClientError` for an invalid target.
    """

    def __init__(
        self,
        client: httpx2.Client,
        path: str,
        params: Sequence[tuple[str, str]],
        received: Received,
        target: str,
    ) -> None:
        self._client = client
        self._path = path
        self._params = params
        self._received = received
        self._file: Path | None = None
        if target != STDOUT:
            self._file = Path(os.path.realpath(target))
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
            with exclusive(part):
                try:
                    with open(part, "a+b", opener=private) as output:
                        if resume:
                            self._read(part, output)
                        output.truncate(self._received.bytes)
                        if self._received.rows:
                            after = self._received.checkpoint.after
                            limit = None if limit is None else max(0, limit - self._received.rows)
                        summary = self._transfer(output, after, limit)
                        os.fsync(output.fileno())
                    publish(part, self._file)
                finally:
                    if part.exists() and not part.stat().st_size:
                        part.unlink()
        except OSError as error:
            message = error.strerror or error
            raise ClientError(f"Cannot write FILE={str(self._file)!r}: {message}.") from error
        return summary

    def _read(self, part: Path, output: BinaryIO) -> None:
        """Read the rows of an earlier transfer up to the last after which it can be resumed."""
        output.seek(0)
        try:
            while data := output.read(BLOCK):
                self._received.feed(data)
            self._received.rewind()
        except ClientError as error:
            message = f"Invalid --resume: {str(part)!r} has no rows of this export with its key."
            raise ClientError(message) from error

    def _transfer(self, output: BinaryIO, after: str | None, limit: int | None) -> str:
        started, before = monotonic(), self._received.rows
        options = {"after": after, "limit": limit}
        params = [(name, str(value)) for name, value in options.items() if value is not None]
        try:
            with (
                self._client.stream("GET", self._path, params=[*self._params, *params]) as response,
                progress_bar(quiet=self._file is None and sys.stdout.isatty()) as progress,
            ):
                if response.status_code != 200:
                    raise ClientError(describe_error(response))
                media_type = response.headers.get("content-type", "").partition(";")[0].strip()
                if media_type.lower() not in ("", self._received.media_type):
                    raise ClientError(f"The response is not the export, but {media_type!r}.")
                task = progress.add_task("", rows=self._received.rows, total=None)
                for data in response.iter_bytes():
                    output.write(self._received.feed(data))
                    output.flush()
                    progress.update(task, rows=self._received.rows, completed=self._received.bytes)
        except httpx2.HTTPError as error:
            raise ClientError(self._broken(str(error) or type(error).__name__)) from error
        if not self._received.is_complete:
            raise ClientError(self._broken("it ends within a row"))
        seconds = monotonic() - started
        rate = (self._received.rows - before) / max(seconds, 1e-6)
        size = self._received.bytes
        return f"{self._received.rows} rows, {size} bytes, {seconds:.1f} s, {rate:.0f} rows/s"

    def _broken(self, reason: str) -> str:
        """Describe how far a transfer got, and how to continue it."""
        message = f"The transfer broke after {self._received.rows} rows: {reason.rstrip('.')}."
        rows, _, after = self._received.checkpoint
        hints = []
        if self._file and after is not None:
            hints.append("--resume")
        if rows == self._received.rows and after is not None:
            hints.append(f"--after {quote(after)}")
        return (
            f"{message} Continue with {', or elsewhere with '.join(hints)}." if hints else message
        )


def progress_bar(*, quiet: bool) -> Progress:
    """Return a display of the progress on stderr, which is shown if that is a terminal."""
    return Progress(
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
    )
