"""Memory of the server: constant for any number of rows, events and clients.

`ROWS=1000000` runs the tests with a million rows.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support.connection import Connection, opened
from support.process import listener, status
from support.project import Project
from support.tools import free_port

ROWS = int(os.environ.get("ROWS", "200000"))
EXPORTS = ["/export/items.ndjson", "/export/users.csv"]
EVENTS = "/events/many"
EVENT = {"data": "x" * 32 * 1024}
PUBLISHED = ROWS // 100
"""Number of published events: in bytes far more than the server may grow by."""
BUFFER = 10
"""Number of events in the history, and in the buffer of each subscriber."""
STALLED = 3
"""Number of stalled readers; SQLite caches some 2 MiB of pages for each export."""
LEAVING = ROWS // 200
"""Number of clients that disconnect, one after the other."""
OPEN = 100
"""Maximum number of open streams: too few if those of disconnected clients remained open."""
PUBLISHERS = 4
"""Number of requests at once that publish large batches."""
HISTORY_BYTES = 64 * 1024 * 1024
TOPICS = [f"t{number}" for number in range(1, 21)]
BATCH = b"\n".join([json.dumps({"data": "x" * 200_000}).encode()] * 40)
LIMIT = 20 * 1024
"""Maximum growth of the server in KiB."""
PATIENCE = 60 + ROWS / 2000
"""Time limit of a test in seconds."""


@dataclass(frozen=True)
class Server:
    """The process of a server."""

    port: int
    pid: int

    @property
    def memory(self) -> int:
        """The resident memory in KiB."""
        return int(status(self.pid, "VmRSS").removesuffix(" kB"))


class Growth:
    """The maximum growth of a server, in KiB, since the creation of this object."""

    def __init__(self, server: Server) -> None:
        self.most = 0
        self._server = server
        self._before = server.memory

    def measure(self) -> None:
        """Update the maximum."""
        self.most = max(self.most, self._server.memory - self._before)


@pytest.fixture(scope="module")
def database(default_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with `ROWS` rows in each table."""
    file = tmp_path_factory.mktemp("memory") / "many.db"
    env = {"DATABASE_URL": f"sqlite:///{file}"}
    default_project.run(default_project.slug, "seed", "--yes", "--rows", str(ROWS), env=env)
    return file


@contextmanager
def serving(project: Project, database: Path, folder: Path, **settings: str) -> Iterator[Server]:
    """Run a service."""
    port = free_port()
    with listener(
        *(project.python, "-m", project.package, "serve"),
        port=port,
        cwd=project.path,
        log=folder / "log",
        env={"DATABASE_URL": f"sqlite:///{database}", "PORT": str(port), **settings},
    ) as process:
        yield Server(port, process.pid)


@pytest.fixture
def server(default_project: Project, database: Path, tmp_path: Path) -> Iterator[Server]:
    """A new server that has responded to one request of each kind."""
    settings = {
        "EVENT_HISTORY": str(BUFFER),
        "SUBSCRIBER_BUFFER": str(BUFFER),
        "MAX_STREAMS_PER_CLIENT": str(OPEN),
        # Stalled readers stay to the end of the test.
        "SEND_TIMEOUT_SECONDS": str(PATIENCE),
        "SHUTDOWN_GRACE_SECONDS": "0.1",
    }
    with (
        serving(default_project, database, tmp_path, **settings) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client,
    ):
        for path in EXPORTS:
            client.get(path, params={"limit": 1}).raise_for_status()
        client.post(EVENTS, json=EVENT).raise_for_status()
        with client.stream("GET", EVENTS) as response:
            response.raise_for_status()
        yield server


def grown(server: Server, kind: str, work: Callable[[Growth], Awaitable[None]]) -> int:
    """Return the maximum growth of a server in KiB during some work."""

    async def watch() -> int:
        async with asyncio.timeout(PATIENCE):
            growth = Growth(server)
            await work(growth)
        return growth.most

    most = asyncio.run(watch())
    print(f"{kind}, {ROWS} rows: {most / 1024:.1f} MiB more")
    return most


async def read(server: Server, path: str, growth: Growth) -> None:
    """Read an export as fast as possible."""
    lines = 0
    async with await Connection.open(server.port, path) as export:
        while chunk := await export.chunk():
            lines += chunk.count(b"\n")
            growth.measure()
    assert lines >= ROWS


async def publish(server: Server, growth: Growth) -> None:
    """Publish far more events than the server keeps."""
    url = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        for _ in range(PUBLISHED):
            (await client.post(EVENTS, json=EVENT)).raise_for_status()
            growth.measure()


async def publish_batches(server: Server, growth: Growth) -> None:
    """Publish ten times as much as the history keeps, from several connections."""
    url = f"http://127.0.0.1:{server.port}"
    limits = httpx.Limits(max_connections=PUBLISHERS)
    headers = {"Content-Type": "application/x-ndjson"}

    async def publish_batch(topic: str) -> None:
        response = await client.post(f"/events/{topic}", content=BATCH, headers=headers)
        response.raise_for_status()
        growth.measure()

    async with (
        httpx.AsyncClient(base_url=url, timeout=PATIENCE, limits=limits) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for topic in TOPICS * 4:
            tasks.create_task(publish_batch(topic))


@pytest.mark.parametrize("path", EXPORTS)
def test_export_to_fast_reader_has_constant_memory(server: Server, path: str) -> None:
    async def work(growth: Growth) -> None:
        await read(server, path, growth)

    assert grown(server, f"{path}, read", work) < LIMIT


@pytest.mark.parametrize("path", [*EXPORTS, EVENTS])
def test_stalled_readers_have_constant_memory(server: Server, path: str) -> None:
    async def work(growth: Growth) -> None:
        async with opened(server.port, path, STALLED):
            if path == EVENTS:
                await publish(server, growth)
            else:
                # By the end of this export the server would have buffered for the stalled readers.
                await read(server, path, growth)

    assert grown(server, f"{path}, stalled", work) < LIMIT


@pytest.mark.parametrize("path", [*EXPORTS, EVENTS])
def test_disconnected_clients_leave_no_memory(server: Server, path: str) -> None:
    async def work(growth: Growth) -> None:
        for _ in range(LEAVING):
            async with await Connection.open(server.port, path) as stream:
                assert stream.status == 200
                await stream.chunk()
                stream.reset()
            growth.measure()

    assert grown(server, f"{path}, disconnected", work) < LIMIT


def test_history_and_bodies_bound_memory(
    default_project: Project, database: Path, tmp_path: Path
) -> None:
    history = str(HISTORY_BYTES)
    with serving(default_project, database, tmp_path, EVENT_HISTORY_BYTES=history) as server:

        async def work(growth: Growth) -> None:
            async with opened(server.port, f"/events/t0?topic={'&topic='.join(TOPICS)}", STALLED):
                await publish_batches(server, growth)

        most = grown(server, "batches", work)

    # Freed memory is fragmented; the bodies of all publishers are parsed at once.
    assert most * 1024 < 2.5 * HISTORY_BYTES + 6 * PUBLISHERS * len(BATCH)
