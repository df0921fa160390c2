"""A project on PostgreSQL, whose clients leave and whose server goes down in mid-export."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from support.process import logged, until
from support.project import Project
from support.servers import cluster, new_database, query
from support.service import served

ROWS = 1_000_000
"""The rows of each table: far more than all buffers on the way to a client hold."""
FILL = f"""
INSERT INTO items
SELECT n, 'Item ' || n, 'What is there to say of number ' || n, n % 50000 / 100.0, now()
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO users
SELECT n, 'User ' || n, 'user' || n || '@example.com' FROM generate_series(1, {ROWS}) AS n;
"""  # noqa: S608
HEADERS = {"/export/items": 0, "/export/users.csv": 1}
"""The exports, and how many of the lines of each are no rows."""
STATES = """
SELECT state FROM pg_stat_activity
WHERE backend_type = 'client backend'
AND datname = current_database() AND pid <> pg_backend_pid()
"""
SOON = 2
"""Seconds after which the query of a client that left is gone."""
CUT_OFF = (httpx.RemoteProtocolError, httpx.NetworkError)
"""What a client sees of a transfer that failed."""


@dataclass(frozen=True)
class Running:
    """A service, its log and its database."""

    url: str
    log: Path
    database: str

    @property
    def connections(self) -> list[str]:
        """What PostgreSQL says that each connection of the service does."""
        return [state for (state,) in query(self.database, STATES)]


def filled(project: Project, server: str) -> str:
    """Create a database with many rows on a PostgreSQL server; its URL."""
    url = new_database(server, f"test_{uuid4().hex}")
    project.run(project.slug, "seed", "--rows", "0", env={"DATABASE_URL": url})
    query(url, FILL)
    return url


def lines(export: Iterator[bytes], enough: float = float("inf")) -> int:
    """Read an export until it had enough lines, or to its end; how many it had."""
    number = 0
    while number < enough and (chunk := next(export, None)):
        number += chunk.count(b"\n")
    return number


def rows(client: httpx.Client, url: str, path: str) -> int:
    """Read an export to its end; the number of its rows."""
    with client.stream("GET", url + path) as export:
        assert export.status_code == 200
        return lines(export.iter_raw()) - HEADERS[path]


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Open a client that takes exports as they are."""
    with httpx.Client(headers={"Accept-Encoding": "identity"}, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def running(
    project_on_servers: Project,
    postgresql_server: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """Serve many rows, to one client at a time."""
    log = tmp_path_factory.mktemp("postgresql") / "log"
    database = filled(project_on_servers, postgresql_server)
    with served(
        project_on_servers, log, DATABASE_URL=database, REDIS_URL=redis_url, MAX_EXPORTS="1"
    ) as url:
        yield Running(url, log, database)


@pytest.mark.parametrize("path", HEADERS)
def test_a_client_that_leaves_in_the_middle_of_an_export_takes_its_query_along(
    running: Running, client: httpx.Client, path: str
) -> None:
    with client.stream("GET", running.url + path) as export:
        chunks = export.iter_raw()
        lines(chunks, enough=ROWS / 10)
        before = running.connections

    until(lambda: set(running.connections) == {"idle"}, SOON)
    logged(running.log, f"route={path} ")
    following = rows(client, running.url, path)

    assert before.count("active") == 1
    assert following == ROWS


def test_a_restart_of_postgresql_fails_what_is_under_way_and_nothing_that_comes_after(
    project_on_servers: Project, redis_url: str, client: httpx.Client, tmp_path: Path
) -> None:
    with cluster() as server, ExitStack() as life:
        life.enter_context(server.running(stop=signal.SIGQUIT))
        database = filled(project_on_servers, server.url)
        with (
            served(
                project_on_servers, tmp_path / "log", DATABASE_URL=database, REDIS_URL=redis_url
            ) as url,
            ExitStack() as streams,
        ):
            exports = [streams.enter_context(client.stream("GET", url + path)) for path in HEADERS]
            life.close()
            for export in exports:
                with pytest.raises(CUT_OFF):
                    lines(export.iter_raw())
            meanwhile = [client.get(url + path) for path in (*HEADERS, "/health")]
            with server.running():
                afterwards = [rows(client, url, path) for path in HEADERS]
                health = client.get(f"{url}/health")

    for answer in meanwhile:
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 503
    assert [export.status_code for export in exports] == [200, 200]
    assert afterwards == [ROWS, ROWS]
    assert health.status_code == 200


def test_a_restart_of_postgresql_between_two_exports_fails_neither(
    project_on_servers: Project, redis_url: str, client: httpx.Client, tmp_path: Path
) -> None:
    with (
        cluster() as server,
        served(
            project_on_servers,
            tmp_path / "log",
            DATABASE_URL=f"{server.url}/postgres",
            REDIS_URL=redis_url,
        ) as url,
    ):
        with server.running(stop=signal.SIGQUIT):
            before = [client.get(url + path) for path in (*HEADERS, "/health")]
        with server.running():
            after = [client.get(url + path) for path in (*HEADERS, "/health")]

    assert [answer.status_code for answer in (*before, *after)] == [200] * 6
    assert [answer.content for answer in after] == [answer.content for answer in before]
