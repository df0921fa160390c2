"""Redis for the tests: a private server, or an unused database of one that runs."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest
from redis import Redis
from redis.exceptions import RedisError

from {{ cookiecutter.__package_name }}.streaming.events.redis import PREFIX

GIVEN_URL = os.environ.get("REDIS_URL")
DEFAULT_URL = "redis://127.0.0.1:6379"
NO_REDIS = "no Redis: install redis-server or valkey-server, or set REDIS_URL"
START_SECONDS = 10
CLAIM = "claimed-by-tests"
"""The key that reserves a database for a process of the tests."""
CLAIM_SECONDS = 3600
"""Lifetime of a claim, for a process that is killed and cannot release it."""


class RedisServer:
    """A server on a free port, which keeps its data in `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        program = find_program()
        if program is None:
            pytest.skip(NO_REDIS)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}"
        self._command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
        self._command += ["--save", "", *options]

    def start(self) -> None:
        """Start the server, and wait until it accepts commands."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)  # noqa: S603
        deadline = time.monotonic() + START_SECONDS
        with Redis.from_url(self.url) as redis:
            while True:
                try:
                    redis.ping()
                except RedisError:
                    assert time.monotonic() < deadline, "The server does not respond."
                    assert self._process.poll() is None, "The server exited."
                    time.sleep(0.01)
                else:
                    return

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop the server; with SIGKILL it loses what it has not written."""
        self._process.send_signal(number)
        self._process.wait()

    def pause(self) -> None:
        """Suspend the server: it keeps its connections and does not respond."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a suspended server."""
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="session", autouse=True)
def redis_server(clean_environment: None) -> Iterator[str]:
    """The URL of the settings: a database that only this process of the tests uses.

    Empty if there is no server; tests that need none run.
    """
    with open_database() as url, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("REDIS_URL", url or "redis://127.0.0.1:1")
        yield url


def open_database() -> AbstractContextManager[str]:
    """Return the database of the tests: that of a given, a private or a running server."""
    if GIVEN_URL:
        return unused_database(GIVEN_URL)
    if find_program():
        return private_database()
    if responds(DEFAULT_URL):
        return unused_database(DEFAULT_URL)
    if os.environ.get("CI"):
        pytest.fail(NO_REDIS)
    return nullcontext("")


def find_program() -> str | None:
    """Return the path of a server's program."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


def responds(url: str) -> bool:
    """Return whether there is a server at `url`."""
    with Redis.from_url(url) as redis:
        try:
            return bool(redis.ping())
        except RedisError:
            return False


@contextmanager
def private_database() -> Iterator[str]:
    """Run a server with a temporary folder; yield its URL."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        yield server.url
        server.stop()


@contextmanager
def unused_database(url: str) -> Iterator[str]:
    """Claim an empty database of a server, yield its URL, and empty it again."""
    for number in range(1, 16):
        with Redis.from_url(database_url(url, number)) as redis:
            if not redis.dbsize() and redis.set(CLAIM, os.getpid(), nx=True, ex=CLAIM_SECONDS):
                yield database_url(url, number)
                delete_events(redis)
                redis.delete(CLAIM)
                return
    pytest.fail("REDIS_URL has no empty database for the tests among 1 to 15")


def database_url(url: str, number: int) -> str:
    """Return the URL of another database of the same server."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "db"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("db", number)])))


def delete_events(redis: Redis) -> None:
    """Delete all events in a database."""
    for key in redis.scan_iter(f"{PREFIX}*"):
        redis.delete(key)


@pytest.fixture(autouse=True)
def redis_url(request: pytest.FixtureRequest, redis_server: str) -> str:
    """The URL of the settings; each test starts without events."""
    if not redis_server:
        if {"client", "process", "server"} & set(request.fixturenames):
            pytest.skip(NO_REDIS)
        return redis_server
    with Redis.from_url(redis_server) as redis:
        delete_events(redis)
    return redis_server
