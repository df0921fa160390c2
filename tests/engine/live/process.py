"""The service as a process of its own, for what only a process does: signals, exit status."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[2]
UVICORN = [sys.executable, "-m", "uvicorn", "--port", "0", "--app-dir", str(PROJECT)]
COMMAND = "{{ cookiecutter.project_slug }}"
SERVE = [str(Path(sys.executable).with_name(COMMAND)), "serve", "--port", "0"]
PATIENCE = 30
"""Seconds after which a test fails that waits for what should be there at once."""


class Process:
    """A service that accepts requests."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.log = ""
        assert process.stderr
        for line in process.stderr:
            self.log += line
            if running := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(running[1])
                return
        raise AssertionError(self.log)

    @property
    def url(self) -> str:
        """Where the service is."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self, path: str) -> socket.socket:
        """Ask for `path` and read nothing."""
        connection = socket.socket()
        # The less fits into the buffers of the system, the sooner the server has to wait.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        return connection

    def stop(self, signal: int) -> int:
        """Send `signal` and return the exit status."""
        self._process.send_signal(signal)
        self.log += self._process.communicate(timeout=PATIENCE)[1]
        return self._process.returncode


@contextmanager
def process(command: list[str], **settings: str) -> Iterator[Process]:
    """Run `command` until it accepts requests, and kill it in the end if it still runs."""
    running = subprocess.Popen(  # noqa: S603
        command, env=os.environ | settings, stderr=subprocess.PIPE, text=True
    )
    with running:
        try:
            yield Process(running)
        finally:
            running.kill()
