"""PostgreSQL for the tests: a private server, or a database of their own at `DATABASE_URL`."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url

GIVEN_URL = os.environ.get("DATABASE_URL")
START_SECONDS = 30
# The data need not survive a power failure.
OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def find_program(name: str) -> str | None:
    """Return the path of a program of the server, which many systems keep out of `PATH`."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or next(map(str, installed), None)


@contextmanager
def private_server(initdb: str, postgres: str) -> Iterator[URL]:
    """Run a server on a free port, with a temporary folder; as another user, if that is root."""
    user = "postgres" if os.name == "posix" and os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        if user:
            shutil.chown(folder, user)
        data = f"{folder}/data"
        subprocess.run(  # noqa: S603
            [initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            user=user,
        )
        options = (*OPTIONS, "listen_addresses=127.0.0.1", "unix_socket_directories=")
        with open(f"{folder}/log", "w") as log:
            server = subprocess.Popen(  # noqa: S603
                [postgres, "-D", data, "-p", str(port), *(f"--{option}" for option in options)],
                stderr=log,
                user=user,
            )
        try:
            yield URL.create("postgresql", "postgres", None, "127.0.0.1", port, "postgres")
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


def connect(url: URL) -> psycopg.Connection:
    """Connect to a server, which may still be starting."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture(scope="session")
def database_server() -> Iterator[URL]:
    """The URL of a server, in which the tests create databases of their own."""
    if GIVEN_URL:
        yield make_url(GIVEN_URL).set(drivername="postgresql")
        return
    initdb, postgres = find_program("initdb"), find_program("postgres")
    if initdb and postgres:
        with private_server(initdb, postgres) as url:
            yield url
        return
    reason = "no PostgreSQL: install the server, or set DATABASE_URL"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def own_database(
    database_server: URL, clean_environment: None
) -> Iterator[tuple[URL, psycopg.Connection]]:
    """The database of the settings, which only this run of the tests has, and a connection to it."""
    url = database_server.set(database=f"test_{uuid4().hex}")
    name = sql.Identifier(str(url.database))
    with connect(database_server) as server, pytest.MonkeyPatch.context() as monkeypatch:
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        with connect(url) as connection:
            yield url, connection
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture(autouse=True)
def empty_database(own_database: tuple[URL, psycopg.Connection]) -> None:
    """Start each test with a database without tables and connections."""
    _, connection = own_database
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    connection.execute("DROP SCHEMA public CASCADE")
    connection.execute("CREATE SCHEMA public")
