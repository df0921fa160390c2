"""Programs in a pseudo-terminal."""

import os
import select
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.tools import clean_environment

PATIENCE = 20.0
"""Time limit in seconds for the next output of the program."""


class Terminal:
    """The user's side of a pseudo-terminal."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.transcript = ""
        self._descriptor = descriptor
        self._seen = 0

    def expect(self, text: str) -> None:
        """Read until the program has printed `text`."""
        while text not in self.transcript[self._seen :]:
            assert self._read(), f"{text!r} is not in:\n{self.transcript}"
        self._seen = self.transcript.index(text, self._seen) + len(text)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._descriptor, f"{line}\n".encode())

    def finish(self) -> int:
        """Read to the end; return the exit status of the program."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], PATIENCE)
        try:
            piece = os.read(self._descriptor, 65536) if ready else b""
        except OSError:  # on Linux: the other side is closed
            piece = b""
        self.transcript += piece.decode(errors="replace")
        return bool(piece)


@contextmanager
def terminal(*command: str, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """Run a command in a new pseudo-terminal; skip the test where there is none."""
    if not hasattr(os, "openpty"):
        pytest.skip("needs a pseudo-terminal")
    ours, theirs = os.openpty()
    settings = clean_environment(TERM="dumb", COLUMNS="200", NO_COLOR="1") | dict(env or {})
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=settings
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
