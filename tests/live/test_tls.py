"""PostgreSQL and Redis with TLS: certificates are verified as the URLs require."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import trustme
from httpx_sse import connect_sse

from support.project import Project
from support.servers import Cluster, cluster, new_database, query, redis
from support.service import served

PATHS = ("/health", "/export/items.ndjson", "/export/users.csv")

ENCRYPTED = """
SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Trust:
    """The TLS parameters of a service."""

    host: str
    """The name of the server, whose certificate is for localhost."""
    authority: Path
    """The certificate of the trusted authority."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that signs the certificates of the servers."""
    return trustme.CA()


@pytest.fixture(scope="module")
def encrypted_postgresql(authority: trustme.CA) -> Iterator[Cluster]:
    """A PostgreSQL with optional TLS."""
    with cluster(authority.issue_cert("localhost")) as server, server.running():
        yield server


@pytest.fixture(scope="module")
def encrypted_redis(authority: trustme.CA) -> Iterator[str]:
    """The URL of a Redis that requires TLS."""
    with redis(authority.issue_cert("localhost")) as url:
        yield url


@pytest.fixture
def trust(authority: trustme.CA, tmp_path: Path) -> Trust:
    """Parameters that match the servers."""
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    return Trust("localhost", file)


@pytest.fixture(params=["another authority", "another host"])
def mismatch(request: pytest.FixtureRequest, trust: Trust, tmp_path: Path) -> Trust:
    """Parameters with another authority or another host name than those of the servers."""
    if request.param == "another host":
        return replace(trust, host="127.0.0.1")
    file = tmp_path / "another.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return replace(trust, authority=file)


def database_at(server: Cluster, trust: Trust) -> tuple[str, str]:
    """Create an empty database; return its name, and its URL for a service."""
    name = f"test_{uuid4().hex}"
    url = new_database(server.url, name).replace("127.0.0.1", trust.host)
    return name, f"{url}?sslmode=verify-full&sslrootcert={trust.authority}"


def redis_at(url: str, trust: Trust) -> str:
    """Return the URL of a Redis for a service."""
    return f"{url.replace('127.0.0.1', trust.host)}?ssl_ca_certs={trust.authority}"


def assert_unavailable(responses: Sequence[httpx.Response]) -> None:
    """Check that all responses are 503 with a problem document."""
    for response in responses:
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"


def test_exports_read_postgresql_with_tls(
    project_on_servers: Project,
    encrypted_postgresql: Cluster,
    redis_url: str,
    trust: Trust,
    tmp_path: Path,
) -> None:
    name, url = database_at(encrypted_postgresql, trust)
    seed = (project_on_servers.slug, "seed", "--yes", "--rows", "3")
    project_on_servers.run(*seed, env={"DATABASE_URL": url})

    with (
        served(project_on_servers, tmp_path / "log", DATABASE_URL=url, REDIS_URL=redis_url) as at,
        httpx.Client(base_url=at) as client,
    ):
        responses = [client.get(path) for path in PATHS]
        encrypted = query(f"{encrypted_postgresql.url}/{name}", ENCRYPTED)

    assert [response.status_code for response in responses] == [200, 200, 200]
    assert {ssl for (ssl,) in encrypted} == {"t"}


def test_postgresql_with_invalid_certificate_is_unavailable(
    project_on_servers: Project,
    encrypted_postgresql: Cluster,
    redis_url: str,
    mismatch: Trust,
    tmp_path: Path,
) -> None:
    name, url = database_at(encrypted_postgresql, mismatch)

    with (
        served(project_on_servers, tmp_path / "log", DATABASE_URL=url, REDIS_URL=redis_url) as at,
        httpx.Client(base_url=at) as client,
    ):
        responses = [client.get(path) for path in PATHS]

    assert_unavailable(responses)
    assert f"database={name}" not in encrypted_postgresql.log.read_text()


def test_events_pass_through_redis_with_tls(
    project_on_servers: Project,
    encrypted_redis: str,
    postgresql_url: str,
    trust: Trust,
    tmp_path: Path,
) -> None:
    url = redis_at(encrypted_redis, trust)
    seed = (project_on_servers.slug, "seed", "--yes", "--rows", "3")
    project_on_servers.run(*seed, env={"DATABASE_URL": postgresql_url})

    with (
        served(
            project_on_servers, tmp_path / "log", DATABASE_URL=postgresql_url, REDIS_URL=url
        ) as at,
        httpx.Client(base_url=at) as client,
        connect_sse(client, "GET", "/events/encrypted") as source,
    ):
        events = source.iter_sse()
        ready = next(events)
        published = client.post("/events/encrypted", json={"data": "secret"})
        event = next(events)
        health = client.get("/health")

    assert ready.event == "ready"
    assert published.status_code == 201
    assert (event.id, json.loads(event.data)) == (published.json()["id"], "secret")
    assert health.status_code == 200


def test_redis_with_invalid_certificate_is_unavailable(
    project_on_servers: Project,
    encrypted_redis: str,
    postgresql_url: str,
    mismatch: Trust,
    tmp_path: Path,
) -> None:
    url = redis_at(encrypted_redis, mismatch)

    with (
        served(
            project_on_servers, tmp_path / "log", DATABASE_URL=postgresql_url, REDIS_URL=url
        ) as at,
        httpx.Client(base_url=at) as client,
    ):
        responses = [
            client.get("/health"),
            client.post("/events/encrypted", json={"data": "secret"}),
            client.get("/events/encrypted"),
        ]

    assert_unavailable(responses)
