"""PostgreSQL behind PgBouncer, as a standby, in SQL_ASCII, with a role and a schema of its own."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from support.process import listener, until
from support.project import Project
from support.servers import Cluster, cluster, new_database, query
from support.service import served
from support.tools import free_port, require

ROWS = 25
PATHS = ("/export/items.ndjson", "/export/users.csv")


@pytest.fixture
def database(project_on_servers: Project, postgresql_server: str) -> str:
    """The URL of a database with samples."""
    url = new_database(postgresql_server, f"test_{uuid4().hex}")
    seed(project_on_servers, url)
    return url


def seed(project: Project, url: str) -> None:
    """Create the tables, with samples."""
    project.run(project.slug, "seed", "--yes", "--rows", str(ROWS), env={"DATABASE_URL": url})


def exports(project: Project, log: Path, redis_url: str, **settings: Any) -> dict[str, str]:  # noqa: ANN401
    """Return the exports of a service with these settings, which is healthy."""
    with served(project, log, REDIS_URL=redis_url, **settings) as url:
        assert httpx.get(f"{url}/health").status_code == 200
        responses = {path: httpx.get(url + path) for path in PATHS}
        # Now it may have a connection of an export.
        assert httpx.get(f"{url}/health").status_code == 200
    assert {each.status_code for each in responses.values()} == {200}
    return {path: each.text for path, each in responses.items()}


@contextmanager
def pgbouncer(server: str) -> Iterator[str]:
    """Run PgBouncer in transaction mode; yield its URL."""
    program = require("pgbouncer")
    port = free_port()
    behind = urlsplit(server)
    # It does not run as root.
    user = "postgres" if os.geteuid() == 0 else None
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        config = folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host={behind.hostname} port={behind.port} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 4\nunix_socket_dir =\n"
        )
        log = folder / "log"
        with listener(program, str(config), port=port, cwd=folder, log=log, user=user):
            yield f"postgresql://postgres@127.0.0.1:{port}"


def test_pgbouncer_in_transaction_mode_serves_exports(
    project_on_servers: Project,
    database: str,
    postgresql_server: str,
    redis_url: str,
    tmp_path: Path,
) -> None:
    direct = exports(project_on_servers, tmp_path / "log", redis_url, DATABASE_URL=database)
    name = urlsplit(database).path

    with (
        pgbouncer(postgresql_server) as url,
        served(
            project_on_servers, tmp_path / "log", DATABASE_URL=url + name, REDIS_URL=redis_url
        ) as service,
    ):
        # More than the five after which psycopg would prepare a statement.
        responses = [httpx.get(service + path) for path in PATHS for _ in range(8)]
        health = [httpx.get(f"{service}/health").status_code for _ in range(8)]

    assert health == [200] * 8
    assert {response.text for response in responses} == set(direct.values())


@contextmanager
def standby(primary: Cluster) -> Iterator[str]:
    """Run a hot standby of a server; yield its URL."""
    # Each start of pytest closes the folder of `tmp_path` to other users again.
    with TemporaryDirectory() as name:
        copy = Cluster(Path(name), free_port(), primary.user, primary.settings)
        if primary.user is not None:
            shutil.chown(name, primary.user)
        data = copy.folder / "data"
        subprocess.run(
            [require("pg_basebackup"), "-d", f"{primary.url}/postgres", "-D", data, "-R"],
            check=True,
            user=primary.user,
            cwd=name,
        )
        with copy.running():
            yield copy.url


def test_hot_standby_serves_exports(
    project_on_servers: Project, redis_url: str, tmp_path: Path
) -> None:
    with cluster() as primary, primary.running():
        seed(project_on_servers, f"{primary.url}/postgres")
        with standby(primary) as url:
            until(lambda: query(f"{url}/postgres", "SELECT pg_is_in_recovery()") == [["t"]])
            found = exports(
                project_on_servers, tmp_path / "service", redis_url, DATABASE_URL=f"{url}/postgres"
            )

    assert len(found[PATHS[0]].splitlines()) == ROWS


def test_parameters_of_the_url_are_kept(
    project_on_servers: Project, database: str, redis_url: str, tmp_path: Path
) -> None:
    query(
        database,
        "CREATE SCHEMA app; ALTER TABLE items SET SCHEMA app; ALTER TABLE users SET SCHEMA app;"
        " DELETE FROM app.items WHERE id > 3",
    )
    url = f"{database}?options=-c%20search_path%3Dapp"

    found = exports(project_on_servers, tmp_path / "log", redis_url, DATABASE_URL=url)

    assert len(found[PATHS[0]].splitlines()) == 3


def test_role_that_may_only_read_serves_exports(
    project_on_servers: Project, database: str, redis_url: str, tmp_path: Path
) -> None:
    role = f"reader_{uuid4().hex}"
    query(
        database,
        f"CREATE ROLE {role} LOGIN; GRANT SELECT ON items, users TO {role};"
        f" ALTER ROLE {role} SET statement_timeout = '5s'",
    )
    url = database.replace("postgres:postgres@", f"{role}@")

    found = exports(project_on_servers, tmp_path / "log", redis_url, DATABASE_URL=url)

    assert len(found[PATHS[0]].splitlines()) == ROWS


def test_text_in_another_encoding_breaks_the_transfer_and_is_logged(
    project_on_servers: Project, postgresql_server: str, redis_url: str, tmp_path: Path
) -> None:
    name = f"test_{uuid4().hex}"
    query(
        f"{postgresql_server}/postgres",
        f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0",
    )
    database = f"{postgresql_server}/{name}"
    seed(project_on_servers, database)
    log = tmp_path / "log"
    good = exports(project_on_servers, log, redis_url, DATABASE_URL=database)
    query(database, "UPDATE items SET name = E'caf\\xe9' WHERE id = 20")

    with (
        served(project_on_servers, log, DATABASE_URL=database, REDIS_URL=redis_url) as url,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        httpx.get(url + PATHS[0])

    assert json.loads(good[PATHS[0]].splitlines()[0])["id"] == 1
    assert "table=items column=name key=20" in log.read_text(), log.read_text()


@pytest.mark.parametrize("relation", ["VIEW", "MATERIALIZED VIEW"])
def test_start_and_requests_write_nothing(
    project_on_servers: Project,
    postgresql_server: str,
    redis_url: str,
    tmp_path: Path,
    relation: str,
) -> None:
    database = new_database(postgresql_server, f"test_{uuid4().hex}")
    query(
        database,
        "CREATE TABLE stored AS SELECT 1::bigint AS id, 'a' AS name, NULL AS description,"  # noqa: S608
        " 1.5::float AS price, now() AS created_at;"
        f" CREATE {relation} items AS SELECT * FROM stored",
    )

    with served(
        project_on_servers, tmp_path / "log", DATABASE_URL=database, REDIS_URL=redis_url
    ) as url:
        missing = httpx.get(f"{url}/health")
        failed = httpx.get(f"{url}/export/users.csv")
        rows = httpx.get(f"{url}/export/items.ndjson").text.splitlines()
        before = query(database, "SELECT count(*) FROM pg_class WHERE relname = 'users'")
        query(database, "CREATE TABLE users (id bigint PRIMARY KEY, name text, email text)")
        found = httpx.get(f"{url}/health")
        served_then = httpx.get(f"{url}/export/users.csv")

    assert missing.status_code == 503
    assert missing.json()["detail"] == "Missing tables: users."
    assert failed.status_code == 503
    assert "Missing tables: users." in (tmp_path / "log").read_text()
    assert len(rows) == 1
    assert before == [["0"]]
    assert query(database, "SELECT count(*) FROM stored") == [["1"]]
    assert found.status_code == 200
    assert served_then.text == "id,name,email\r\n"
