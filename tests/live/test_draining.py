"""A server that is told to stop ends its streams, each as its format can, and is gone."""

import asyncio
import json
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from support.connection import Connection, TransferFailed, opened
from support.process import listener, paused
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


Answer = tuple[dict[str, str], bytes]
"""Headers and a body."""


@dataclass(frozen=True)
class Stop:
    """How a server stopped, as its clients see it."""

    farewells: list[bytes]
    rest: list[int]
    """The ids of the items that arrived after the signal."""
    status: int
    seconds: float


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


def assert_drained(seen: Stop, log: str, *, events: int = 0, workers: int = 1) -> None:
    """Insist that event streams were told, one export was finished and one reader cut, in time."""
    assert len(seen.farewells) == events
    assert all(farewell.startswith(b"retry: ") for farewell in seen.farewells)
    assert len(set(seen.farewells)) >= min(events, 2)  # the clients do not come back all at once
    assert seen.rest == list(range(seen.rest[0], ROWS + 1))
    assert seen.status in ORDERLY
    assert seen.seconds < GRACE + SOON
    assert reasons(log) == {"shutdown": events + 1, "complete": 1}
    assert log.count("Application shutdown complete.") == workers
    assert "Traceback" not in log


async def started(log: Path, workers: int) -> list[int]:
    """Wait for all workers; their process ids."""
    while log.read_text().count("Application startup complete.") < workers:
        await asyncio.sleep(0.05)
    return [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", log.read_text())]


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

    assert_drained(seen, log.read_text(), events=EVENT_STREAMS)


def test_two_workers_of_a_project_without_events_end_with_exports_open(
    bake: Bake, service: Service, tmp_path: Path
) -> None:
    project = bake(tmp_path, sse=False)
    port = free_port()
    log = tmp_path / "log"

    async def stop(server: subprocess.Popen[bytes]) -> Stop:
        async with asyncio.timeout(PATIENCE), opened(port, "/export/items", 2) as exports:
            await started(log, workers=2)
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

    assert_drained(seen, log.read_text(), workers=2)


def test_two_workers_that_share_their_events_are_drained_as_one(
    bake: Bake, service: Service, redis_url: str, tmp_path: Path
) -> None:
    project = bake(tmp_path, event_broker="redis")
    port = free_port()
    log = tmp_path / "log"

    async def stop(server: subprocess.Popen[bytes]) -> Stop:
        events: list[Connection] = []
        exports: list[Connection] = []
        async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
            for other in await started(log, workers=2):
                with paused(other):  # so that each has half of the streams
                    half = opened(port, "/events/open", EVENT_STREAMS // 2)
                    events += await stack.enter_async_context(half)
                    exports += await stack.enter_async_context(opened(port, "/export/items"))
            return await stopped(server, events, *exports)

    with listener(
        *(require("uv"), "run", "uvicorn", f"{project.package}.main:app"),
        *("--port", str(port), "--workers", "2"),
        # A worker that is paused does not answer, and would be replaced.
        *("--timeout-worker-healthcheck", str(PATIENCE)),
        port=port,
        cwd=project.path,
        log=log,
        env=settings(service, port) | {"REDIS_URL": redis_url},
    ) as server:
        seen = asyncio.run(stop(server))

    assert_drained(seen, log.read_text(), events=EVENT_STREAMS, workers=2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_server_that_stops_finishes_an_export_and_refuses_new_streams(
    default_project: Project, service: Service, tmp_path: Path, number: signal.Signals
) -> None:
    port = free_port()
    log = tmp_path / "log"
    refused = ["/events/late", "/export/items", "/export/users.csv"]

    async def stop(
        server: subprocess.Popen[bytes],
    ) -> tuple[bytes, list[Answer], int]:
        """Ask for streams behind an export on its connection.

        A server that stops accepts no connections and closes those that wait for a request. But
        what it has read before is answered in turn, after the stop.
        """
        asked = await Connection.open(port, "/export/items", small=True, then=refused)
        async with (
            asyncio.timeout(PATIENCE),
            opened(port, "/events/open") as (events,),
            asked as connection,
        ):
            export = await connection.chunk()
            server.send_signal(number)
            await events.rest()
            export += await connection.rest()
            answers = []
            for _ in refused:
                await connection.head()
                assert connection.status == 503
                answers.append((connection.headers, await connection.whole()))
            return export, answers, await asyncio.to_thread(server.wait, PATIENCE)

    with listener(
        *(default_project.python, "-m", default_project.package, "serve"),
        port=port,
        cwd=default_project.path,
        log=log,
        # Nobody stalls, so nothing waits for the end of it.
        env=settings(service, port) | {"SHUTDOWN_GRACE_SECONDS": str(PATIENCE)},
    ) as server:
        export, answers, status = asyncio.run(stop(server))

    said = log.read_text()
    assert keys(export) == list(range(1, ROWS + 1))
    for headers, body in answers:
        assert int(headers["retry-after"]) > 0
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(body)["status"] == 503
    assert status in (0, -number)
    assert reasons(said) == {"shutdown": 1, "complete": 1}
    assert "Application shutdown complete." in said
    assert "Traceback" not in said
