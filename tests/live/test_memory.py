"""The memory of a server: what it needs for a few rows is enough for many, whoever reads them.

Of its usual size it takes seconds. `ROWS=1000000` runs it with a million rows.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support.connection import Connection, opened
from support.process import listener, status
from support.project import Project
from support.tools import free_port

ROWS = int(os.environ.get("ROWS", "200000"))
EXPORTS = ["/export/items", "/export/users.csv"]
EVENTS = "/events/many"
EVENT = {"data": "x" * 32 * 1024}
PUBLISHED = ROWS // 100
"""How many events are published: in bytes far more than the server may grow by."""
BUFFER = 10
"""How many events are kept for whoever comes, and for each reader that does not take them."""
STALLED = 3
"""How many readers take nothing; each export has some 2 MiB of pages that SQLite keeps for it."""
LEAVING = ROWS // 200
"""How many readers leave, one after the other."""
OPEN = 100
"""How many streams may be open: for those that leave not enough, unless they are let go."""
LIMIT = 20 * 1024
"""How many KiB the server may grow by."""
PATIENCE = 60 + ROWS / 2000
"""Seconds after which a test fails that waits for what should be there long before."""


@dataclass(frozen=True)
class Server:
    """A process that serves, and nothing else."""

    port: int
    pid: int

    @property
    def memory(self) -> int:
        """The KiB that it has of the machine's memory."""
        return int(status(self.pid, "VmRSS").removesuffix(" kB"))


class Growth:
    """How many KiB a server had more, at most, than when this was made."""

    def __init__(self, server: Server) -> None:
        self.most = 0
        self._server = server
        self._before = server.memory

    def look(self) -> None:
        """Take this moment into account."""
        self.most = max(self.most, self._server.memory - self._before)


@pytest.fixture(scope="module")
def database(default_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seed a database."""
    file = tmp_path_factory.mktemp("memory") / "many.db"
    env = {"DATABASE_URL": f"sqlite:///{file}"}
    default_project.run(default_project.slug, "seed", "--rows", str(ROWS), env=env)
    return file


@pytest.fixture
def server(default_project: Project, database: Path, tmp_path: Path) -> Iterator[Server]:
    """Serve in a process of the test's own, which has answered one request of each kind."""
    port = free_port()
    with (
        listener(
            *(default_project.python, "-m", default_project.package, "serve"),
            port=port,
            cwd=default_project.path,
            log=tmp_path / "log",
            env={
                "DATABASE_URL": f"sqlite:///{database}",
                "PORT": str(port),
                "EVENT_HISTORY": str(BUFFER),
                "SUBSCRIBER_BUFFER": str(BUFFER),
                "MAX_STREAMS_PER_CLIENT": str(OPEN),
                # Who stalls is held to the end of the test.
                "SEND_TIMEOUT_SECONDS": str(PATIENCE),
                "SHUTDOWN_GRACE_SECONDS": "0.1",
            },
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        for path in EXPORTS:
            client.get(path, params={"limit": 1}).raise_for_status()
        client.post(EVENTS, json=EVENT).raise_for_status()
        with client.stream("GET", EVENTS) as response:
            response.raise_for_status()
        yield Server(port, process.pid)


def grown(server: Server, kind: str, work: Callable[[Growth], Awaitable[None]]) -> int:
    """Return the KiB that a server grows by, at most, while there is work for it."""

    async def watch() -> int:
        async with asyncio.timeout(PATIENCE):
            growth = Growth(server)
            await work(growth)
        return growth.most

    most = asyncio.run(watch())
    print(f"{kind}, {ROWS} rows: {most / 1024:.1f} MiB more")
    return most


async def read(server: Server, path: str, growth: Growth) -> None:
    """Read an export to its end, as fast as it comes."""
    lines = 0
    async with await Connection.open(server.port, path) as export:
        while chunk := await export.chunk():
            lines += chunk.count(b"\n")
            growth.look()
    assert lines >= ROWS


async def publish(server: Server, growth: Growth) -> None:
    """Publish far more events than the server keeps."""
    url = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        for _ in range(PUBLISHED):
            (await client.post(EVENTS, json=EVENT)).raise_for_status()
            growth.look()


@pytest.mark.parametrize("path", EXPORTS)
def test_an_export_to_a_fast_reader_takes_no_memory_for_its_rows(server: Server, path: str) -> None:
    async def work(growth: Growth) -> None:
        await read(server, path, growth)

    assert grown(server, f"{path}, read", work) < LIMIT


@pytest.mark.parametrize("path", [*EXPORTS, EVENTS])
def test_readers_that_take_nothing_are_not_given_memory_instead(server: Server, path: str) -> None:
    async def work(growth: Growth) -> None:
        async with opened(server.port, path, STALLED):
            if path == EVENTS:
                await publish(server, growth)
            else:
                # What is sent to the others regardless is made by the time that this one is.
                await read(server, path, growth)

    assert grown(server, f"{path}, stalled", work) < LIMIT


@pytest.mark.parametrize("path", [*EXPORTS, EVENTS])
def test_readers_that_leave_again_and_again_leave_nothing_behind(server: Server, path: str) -> None:
    async def work(growth: Growth) -> None:
        for _ in range(LEAVING):
            async with await Connection.open(server.port, path) as stream:
                assert stream.status == 200
                await stream.chunk()
                stream.vanish()
            growth.look()

    assert grown(server, f"{path}, left", work) < LIMIT
