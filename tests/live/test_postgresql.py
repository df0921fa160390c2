"""Exports from PostgreSQL while clients disconnect and the server restarts."""

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
"""Number of rows in each table: far more than all buffers on the way to a client hold."""
FILL = f"""
INSERT INTO items
SELECT n, 'Item ' || n, 'What is there to say of number ' || n, n % 50000 / 100.0, now()
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO users
SELECT n, 'User ' || n, 'user' || n || '@example.com' FROM generate_series(1, {ROWS}) AS n;
"""  # noqa: S608
HEADERS = {"/export/items.ndjson": 0, "/export/users.csv": 1}
"""The number of header lines of each export."""
STATES = """
SELECT state FROM pg_stat_activity
WHERE backend_type = 'client backend'
AND datname = current_database() AND pid <> pg_backend_pid()
"""
SOON = 2
"""Time limit in seconds for the end of a disconnected client's query."""
FAILED_TRANSFER = (httpx.RemoteProtocolError, httpx.NetworkError)
"""The exceptions of httpx for a failed transfer."""


@dataclass(frozen=True)
class Running:
    """A service, its log and its database."""

    url: str
    log: Path
    database: str

    @property
    def connections(self) -> list[str]:
        """The state of each connection of the service, from PostgreSQL."""
        return [state for (state,) in query(self.database, STATES)]


def filled(project: Project, server: str) -> str:
    """Create a database with `ROWS` rows in each table; return its URL."""
    url = new_database(server, f"test_{uuid4().hex}")
    seed(project, url)
    query(url, FILL)
    return url


def seed(project: Project, url: str) -> None:
    """Create the tables."""
    project.run(project.slug, "seed", "--yes", "--rows", "0", env={"DATABASE_URL": url})


def lines(export: Iterator[bytes], enough: float = float("inf")) -> int:
    """Read an export to its end, or until it has enough lines; return their number."""
    number = 0
    while number < enough and (chunk := next(export, None)):
        number += chunk.count(b"\n")
    return number


def rows(client: httpx.Client, url: str, path: str) -> int:
    """Read an export to its end; return the number of rows."""
    with client.stream("GET", url + path) as export:
        assert export.status_code == 200
        return lines(export.iter_raw()) - HEADERS[path]


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """A client that requests no compression."""
    with httpx.Client(headers={"Accept-Encoding": "identity"}, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def running(
    project_on_servers: Project,
    postgresql_server: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """A service with many rows and at most one export at a time."""
    log = tmp_path_factory.mktemp("postgresql") / "log"
    database = filled(project_on_servers, postgresql_server)
    with served(
        project_on_servers, log, DATABASE_URL=database, REDIS_URL=redis_url, MAX_EXPORTS="1"
    ) as url:
        yield Running(url, log, database)


@pytest.mark.parametrize("path", HEADERS)
def test_disconnect_cancels_the_query(running: Running, client: httpx.Client, path: str) -> None:
    with client.stream("GET", running.url + path) as export:
        chunks = export.iter_raw()
        lines(chunks, enough=ROWS / 10)
        before = running.connections

    until(lambda: set(running.connections) == {"idle"}, SOON)
    logged(running.log, f"route={path} ")
    following = rows(client, running.url, path)

    assert before.count("active") == 1
    assert following == ROWS


def test_postgresql_restart_fails_running_exports_only(
    project_on_servers: Project, redis_url: str, client: httpx.Client, tmp_path: Path
) -> None:
    with cluster() as server, ExitStack() as first_run:
        first_run.enter_context(server.running(stop=signal.SIGQUIT))
        database = filled(project_on_servers, server.url)
        with (
            served(
                project_on_servers, tmp_path / "log", DATABASE_URL=database, REDIS_URL=redis_url
            ) as url,
            ExitStack() as streams,
        ):
            exports = [streams.enter_context(client.stream("GET", url + path)) for path in HEADERS]
            first_run.close()
            for export in exports:
                with pytest.raises(FAILED_TRANSFER):
                    lines(export.iter_raw())
            meanwhile = [client.get(url + path) for path in (*HEADERS, "/health")]
            with server.running():
                afterwards = [rows(client, url, path) for path in HEADERS]
                health = client.get(f"{url}/health")

    for response in meanwhile:
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == 503
    assert [export.status_code for export in exports] == [200, 200]
    assert afterwards == [ROWS, ROWS]
    assert health.status_code == 200


def test_postgresql_restart_between_exports_fails_none(
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
            seed(project_on_servers, f"{server.url}/postgres")
            before = [client.get(url + path) for path in (*HEADERS, "/health")]
        with server.running():
            after = [client.get(url + path) for path in (*HEADERS, "/health")]

    assert [response.status_code for response in (*before, *after)] == [200] * 6
    assert [each.content for each in after] == [each.content for each in before]
