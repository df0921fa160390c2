"""A server that is told to stop ends its streams, each as its format can, and is gone."""

import asyncio
import json
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from support.connection import Connection, TransferFailed
from support.process import listener
from support.project import Bake, Project
from support.service import ROWS, Service
from support.tools import free_port, require

GRACE = 5
EVENT_STREAMS = 100
PATIENCE = 60
"""Seconds after which a test fails that waits for what should be there at once."""
SOON = 15
"""Seconds after the grace period that a slow machine may need; less than the timeout of a send."""
ORDERLY = (0, -signal.SIGTERM, 128 + signal.SIGTERM)
"""The statuses of an orderly stop; uvicorn raises the signal again, and uv says so as a shell."""


def settings(service: Service, port: int) -> dict[str, str]:
    """Let a server of its own share the rows of the service."""
    return {
        "DATABASE_URL": f"sqlite:///{service.database}",
        "PORT": str(port),
        "SHUTDOWN_GRACE_SECONDS": str(GRACE),
        "MAX_STREAMS_PER_CLIENT": "1000",
    }


@dataclass(frozen=True)
class Stop:
    """How a server stopped, as its clients see it."""

    farewells: list[bytes]
    rest: list[int]
    """The ids of the items that arrived after the signal."""
    status: int
    seconds: float


@asynccontextmanager
async def opened(port: int, path: str, number: int = 1) -> AsyncIterator[list[Connection]]:
    """Open streams of which the first chunk has arrived and the rest waits to be read."""
    async with AsyncExitStack() as stack:
        connections = []
        for _ in range(number):
            connection = await Connection.open(port, path, small=True)
            connections.append(await stack.enter_async_context(connection))
            assert connection.status == 200
            assert await connection.chunk()
        yield connections


async def stopped(
    server: subprocess.Popen[bytes],
    events: Sequence[Connection],
    export: Connection,
    stalled: Connection,
) -> Stop:
    """Send SIGTERM, read all streams but one to their ends, and that one when the server is gone.

    Both exports are of the same length. As one is cut off, the other was half way too.
    """
    start = monotonic()
    server.send_signal(signal.SIGTERM)
    farewells = [await stream.rest() for stream in events]
    rest = await export.rest()
    status = await asyncio.to_thread(server.wait, PATIENCE)
    seconds = monotonic() - start
    with pytest.raises(TransferFailed):
        await stalled.rest()
    return Stop(farewells, keys(rest), status, seconds)


def reasons(log: str) -> Counter[str]:
    """Count what the lines at the ends of streams say."""
    ends = [line for line in log.splitlines() if "stream ended" in line]
    return Counter(line.rpartition("reason=")[2] for line in ends)


def keys(export: bytes) -> list[int]:
    """Return the ids of an export's items."""
    return [json.loads(line)["id"] for line in export.splitlines()]


def test_a_hundred_event_streams_an_export_and_a_stalled_reader_are_drained(
    default_project: Project, service: Service, tmp_path: Path
) -> None:
    port = free_port()
    log = tmp_path / "log"

    async def stop(server: subprocess.Popen[bytes]) -> Stop:
        async with (
            asyncio.timeout(PATIENCE),
            opened(port, "/events/open", EVENT_STREAMS) as events,
            opened(port, "/export/items", 2) as exports,
        ):
            return await stopped(server, events, *exports)

    with listener(
        *(require("uv"), "run", default_project.slug, "serve"),
        port=port,
        cwd=default_project.path,
        log=log,
        env=settings(service, port),
    ) as server:
        seen = asyncio.run(stop(server))

    said = log.read_text()
    assert all(farewell.startswith(b"retry: ") for farewell in seen.farewells)
    assert len(set(seen.farewells)) > 1  # the clients do not come back all at once
    assert seen.rest == list(range(seen.rest[0], ROWS + 1))
    assert seen.status in ORDERLY
    assert seen.seconds < GRACE + SOON
    assert reasons(said) == {"shutdown": EVENT_STREAMS + 1, "complete": 1}
    assert "Application shutdown complete." in said
    assert "Traceback" not in said


def test_two_workers_of_a_project_without_events_end_with_exports_open(
    bake: Bake, service: Service, tmp_path: Path
) -> None:
    project = bake(tmp_path, sse=False)
    port = free_port()
    log = tmp_path / "log"

    async def stop(server: subprocess.Popen[bytes]) -> Stop:
        async with asyncio.timeout(PATIENCE), opened(port, "/export/items", 2) as exports:
            return await stopped(server, [], *exports)

    with listener(
        *(require("uv"), "run", "uvicorn", f"{project.package}.main:app"),
        *("--port", str(port), "--workers", "2"),
        port=port,
        cwd=project.path,
        log=log,
        env=settings(service, port),
    ) as server:
        seen = asyncio.run(stop(server))

    said = log.read_text()
    assert seen.rest == list(range(seen.rest[0], ROWS + 1))
    assert seen.status in ORDERLY
    assert seen.seconds < GRACE + SOON
    assert reasons(said) == {"shutdown": 1, "complete": 1}
    assert said.count("Application shutdown complete.") == 2
    assert "Traceback" not in said
