"""A Redis for the tests: the one at `REDIS_URL`, or a private one."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from {{ cookiecutter.__package_name }}.streaming.events.redis import PREFIX

GIVEN_URL = os.environ.get("REDIS_URL")
PATIENCE = 10.0
"""Seconds after which a server that does not answer has failed."""


class RedisServer:
    """A process that keeps its data in `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            reason = "needs redis-server or valkey-server, or a REDIS_URL"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}"
        self._command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
        self._command += ["--save", "", *options]

    def start(self) -> None:
        """Return when the server answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)  # noqa: S603
        deadline = time.monotonic() + PATIENCE
        with Redis.from_url(self.url) as redis:
            while True:
                try:
                    redis.ping()
                except RedisError:
                    assert time.monotonic() < deadline, "the server does not answer"
                    assert self._process.poll() is None, "the server ended"
                    time.sleep(0.01)
                else:
                    return

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the server: at once and with what it has not written yet with SIGKILL."""
        self._process.send_signal(number)
        self._process.wait()

    def pause(self) -> None:
        """Have the server answer nobody, with all connections open."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have a server that pauses go on."""
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="session")
def redis_server(worker_id: str) -> Iterator[str]:
    """The URL of a server, or of a database of one, that no other process of the tests uses."""
    if GIVEN_URL:
        number = worker_id.removeprefix("gw") if worker_id != "master" else "0"
        yield f"{GIVEN_URL}?db={number}"
        return
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server.url
        server.stop()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of a server that holds nothing of this service."""
    with Redis.from_url(redis_server) as redis:
        for key in redis.scan_iter(f"{PREFIX}*"):
            redis.delete(key)
    return redis_server
