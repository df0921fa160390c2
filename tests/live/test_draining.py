"""Graceful shutdown: event streams end at once, exports complete, stalled readers are cut off."""

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
"""Time limit in seconds for what takes a moment."""
SOON = 15
"""Seconds that a slow machine may need after the grace period: fewer than the timeout of a send."""
ORDERLY = (0, -signal.SIGTERM, 128 + signal.SIGTERM)
"""Statuses of a graceful shutdown: uvicorn raises the signal again, uv reports it as a shell."""


def settings(service: Service, port: int) -> dict[str, str]:
    """Return the settings of another server with the rows of `service`."""
    return {
        "DATABASE_URL": f"sqlite:///{service.database}",
        "PORT": str(port),
        "SHUTDOWN_GRACE_SECONDS": str(GRACE),
        "MAX_STREAMS_PER_CLIENT": "1000",
    }


Response = tuple[dict[str, str], bytes]
"""The headers and the body of a response."""


@dataclass(frozen=True)
class Stop:
    """A shutdown as the clients see it."""

    endings: list[bytes]
    """The last bytes of the event streams."""
    rest: list[int]
    """The ids of the items that arrived after the signal."""
    status: int
    seconds: float


async def stop(
    server: subprocess.Popen[bytes],
    events: Sequence[Connection],
    export: Connection,
    stalled: Connection,
) -> Stop:
    """Send SIGTERM; read all streams to the end, `stalled` only after the server has exited.

    Both exports have the same length: as one is cut off, the other was incomplete too.
    """
    start = monotonic()
    server.send_signal(signal.SIGTERM)
    endings = [await stream.rest() for stream in events]
    rest = await export.rest()
    status = await asyncio.to_thread(server.wait, PATIENCE)
    seconds = monotonic() - start
    with pytest.raises(TransferFailed):
        await stalled.rest()
    return Stop(endings, keys(rest), status, seconds)


def reasons(log: str) -> Counter[str]:
    """Count the reasons of the ends of streams."""
    ends = [line for line in log.splitlines() if "stream ended" in line]
    return Counter(line.rpartition("reason=")[2] for line in ends)


def keys(export: bytes) -> list[int]:
    """Return the ids of the items of an export."""
    return [json.loads(line)["id"] for line in export.splitlines()]


def assert_drained(seen: Stop, log: str, *, events: int = 0, workers: int = 1) -> None:
    """Check that event streams ended, one export is complete and one reader cut off, in time."""
    assert len(seen.endings) == events
    assert all(ending.startswith(b"retry: ") for ending in seen.endings)
    assert len(set(seen.endings)) >= min(events, 2)  # clients do not reconnect all at once
    assert seen.rest == list(range(seen.rest[0], ROWS + 1))
    assert seen.status in ORDERLY
    assert seen.seconds < GRACE + SOON
    assert reasons(log) == {"shutdown": events + 1, "complete": 1}
    assert log.count("Application shutdown complete.") == workers
    assert "Traceback" not in log


async def started(log: Path, workers: int) -> list[int]:
    """Wait for the start of all workers; return their process ids."""
    while log.read_text().count("Application startup complete.") < workers:
        await asyncio.sleep(0.05)
    return [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", log.read_text())]


def test_open_streams_are_drained_on_shutdown(
    default_project: Project, service: Service, tmp_path: Path
) -> None:
    port = free_port()
    log = tmp_path / "log"

    async def open_and_stop(server: subprocess.Popen[bytes]) -> Stop:
        async with (
            asyncio.timeout(PATIENCE),
            opened(port, "/events/open", EVENT_STREAMS) as events,
            opened(port, "/export/items.ndjson", 2) as exports,
        ):
            return await stop(server, events, *exports)

    with listener(
        *(require("uv"), "run", default_project.slug, "serve"),
        port=port,
        cwd=default_project.path,
        log=log,
        env=settings(service, port),
    ) as server:
        seen = asyncio.run(open_and_stop(server))

    assert_drained(seen, log.read_text(), events=EVENT_STREAMS)


def test_two_workers_without_events_are_drained(
    bake: Bake, service: Service, tmp_path: Path
) -> None:
    project = bake(tmp_path, sse=False)
    port = free_port()
    log = tmp_path / "log"

    async def open_and_stop(server: subprocess.Popen[bytes]) -> Stop:
        async with asyncio.timeout(PATIENCE), opened(port, "/export/items.ndjson", 2) as exports:
            await started(log, workers=2)
            return await stop(server, [], *exports)

    with listener(
        *(require("uv"), "run", "uvicorn", f"{project.package}.main:app"),
        *("--port", str(port), "--workers", "2"),
        port=port,
        cwd=project.path,
        log=log,
        env=settings(service, port),
    ) as server:
        seen = asyncio.run(open_and_stop(server))

    assert_drained(seen, log.read_text(), workers=2)


def test_two_workers_with_redis_are_drained(
    bake: Bake, service: Service, redis_url: str, tmp_path: Path
) -> None:
    project = bake(tmp_path, event_broker="redis")
    port = free_port()
    log = tmp_path / "log"

    async def open_and_stop(server: subprocess.Popen[bytes]) -> Stop:
        events: list[Connection] = []
        exports: list[Connection] = []
        async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
            for other in await started(log, workers=2):
                with paused(other):  # so that each worker has half of the streams
                    half = opened(port, "/events/open", EVENT_STREAMS // 2)
                    events += await stack.enter_async_context(half)
                    export = opened(port, "/export/items.ndjson")
                    exports += await stack.enter_async_context(export)
            return await stop(server, events, *exports)

    with listener(
        *(require("uv"), "run", "uvicorn", f"{project.package}.main:app"),
        *("--port", str(port), "--workers", "2"),
        # uvicorn would replace a paused worker, which does not respond.
        *("--timeout-worker-healthcheck", str(PATIENCE)),
        port=port,
        cwd=project.path,
        log=log,
        env=settings(service, port) | {"REDIS_URL": redis_url},
    ) as server:
        seen = asyncio.run(open_and_stop(server))

    assert_drained(seen, log.read_text(), events=EVENT_STREAMS, workers=2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_draining_server_rejects_new_streams(
    default_project: Project, service: Service, tmp_path: Path, number: signal.Signals
) -> None:
    port = free_port()
    log = tmp_path / "log"
    late = ["/events/late", "/export/items", "/export/users.csv"]

    async def open_and_stop(server: subprocess.Popen[bytes]) -> tuple[bytes, list[Response], int]:
        """Request more streams behind an export, on its connection.

        A draining server accepts no connections and closes idle ones, but responds to requests that
        it has read before.
        """
        requested = await Connection.open(port, "/export/items.ndjson", small=True, then=late)
        async with (
            asyncio.timeout(PATIENCE),
            opened(port, "/events/open") as (events,),
            requested as connection,
        ):
            export = await connection.chunk()
            server.send_signal(number)
            await events.rest()
            export += await connection.rest()
            responses = []
            for _ in late:
                await connection.head()
                assert connection.status == 503
                responses.append((connection.headers, await connection.whole()))
            return export, responses, await asyncio.to_thread(server.wait, PATIENCE)

    with listener(
        *(default_project.python, "-m", default_project.package, "serve"),
        port=port,
        cwd=default_project.path,
        log=log,
        # No client stalls: the whole grace period is never needed.
        env=settings(service, port) | {"SHUTDOWN_GRACE_SECONDS": str(PATIENCE)},
    ) as server:
        export, responses, status = asyncio.run(open_and_stop(server))

    logged = log.read_text()
    assert keys(export) == list(range(1, ROWS + 1))
    for headers, body in responses:
        assert int(headers["retry-after"]) > 0
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(body)["status"] == 503
    assert status in (0, -number)
    assert reasons(logged) == {"shutdown": 1, "complete": 1}
    assert "Application shutdown complete." in logged
    assert "Traceback" not in logged
