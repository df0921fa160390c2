"""The service in a process of its own, for signals and exit statuses."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[3]
UVICORN = [sys.executable, "-m", "uvicorn", "--port", "0", "--app-dir", str(PROJECT)]
SERVE = [sys.executable, "-m", "streaming_api", "serve", "--port", "0"]
TIMEOUT = 30
"""Seconds after which a process that does not start or stop fails its test."""


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
        """The URL of the service."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self, path: str) -> socket.socket:
        """Send a request for `path`, and read nothing."""
        connection = socket.socket()
        # The smaller the buffers, the sooner the server has to wait.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(TIMEOUT)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        return connection

    def stop(self, signal: int) -> int:
        """Send `signal` and return the exit status."""
        self._process.send_signal(signal)
        self.log += self._process.communicate(timeout=TIMEOUT)[1]
        return self._process.returncode


@contextmanager
def process(command: list[str], **settings: str) -> Iterator[Process]:
    """Run `command` until it accepts requests, and kill it at the end of the block."""
    running = subprocess.Popen(
        command, env=os.environ | settings, stderr=subprocess.PIPE, text=True
    )
    with running:
        try:
            yield Process(running)
        finally:
            running.kill()
