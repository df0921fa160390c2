"""Clients that disconnect at random while events are published and the server restarts.

Meanwhile other clients stall or read slowly, some events are large or invalid, and the clock of the
server is set forward and back. `SOAK=200x10000` runs the test with 200 clients and 10,000 events.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import monotonic

import httpx

from support.connection import TransferFailed
from support.faults import SteppedClock, faults, running
from support.follower import Event, Follower
from support.process import beside, listener
from support.project import Project
from support.tools import free_port, require

CLIENTS, EVENTS = map(int, os.environ.get("SOAK", "20x600").split("x"))
RUNS = 3
"""Number of runs of the server."""
TOPICS = ["soak-a", "soak-b", "soak-c"]
PATH = f"/events/{TOPICS[0]}?topic={TOPICS[1]}&topic={TOPICS[2]}"
PUBLISHERS = 4
SEED = 3
LARGE = 100
"""One event of so many has `PADDING`."""
PADDING = "x" * 200_000
PATIENCE = 120 + CLIENTS * EVENTS / 1000
"""Time limit of the test in seconds."""


class Client(Follower):
    """Follows all topics, and disconnects after random numbers of events."""

    def __init__(self, number: int, running: asyncio.Event) -> None:
        super().__init__(PATH)
        self._running = running
        self._random = Random(f"{SEED}-{number}")
        self._left = self._random_number()

    def leaves(self) -> bool:
        """Disconnect after some events, in order or with a reset."""
        self._left -= 1
        if self._left >= 0:
            return False
        self._left = self._random_number()
        if self.connection and self._random.random() < 0.5:
            self.connection.reset()
        return True

    def _random_number(self) -> int:
        return self._random.randint(0, max(EVENTS // RUNS // 4, 2))

    def rejected(self, status: int) -> None:
        """Accept a 503 of a draining server."""
        assert status == 503
        assert not self._running.is_set()

    async def follow_all(self, port: int) -> None:
        """Follow until the event `last`."""
        while True:
            await self._running.wait()
            try:
                if await self.follow(port):
                    return
            except (TransferFailed, OSError):
                await asyncio.sleep(0.01)  # the server is stopping


async def publish(url: str, numbers: Sequence[int], *, last: bool) -> list[Event]:
    """Publish numbers, several at a time; return the events in the order of their ids."""
    waiting = iter(numbers)
    published: list[Event] = []

    async def post(client: httpx.AsyncClient, number: int, **more: str) -> None:
        topic = TOPICS[number % len(TOPICS)]
        large = {"number": number, "padding": PADDING}
        data = large if number % LARGE == 1 else number
        response = await client.post(f"/events/{topic}", json={"data": data} | more)
        assert response.status_code == 201
        published.append((response.json()["id"], topic, number))

    async def publisher(client: httpx.AsyncClient) -> None:
        for number in waiting:
            await post(client, number)

    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        await asyncio.gather(*(publisher(client) for _ in range(PUBLISHERS)))
        if last:
            await post(client, -1, event="last")
    return sorted(published)


async def soak(project: Project, folder: Path) -> tuple[list[Client], list[list[Event]]]:
    """Run the server several times; return the clients, and the events of each run."""
    port = free_port()
    clock = SteppedClock(folder)
    env = {
        "DATABASE_URL": f"sqlite:///{folder}/soak.db",
        "PORT": str(port),
        "MAX_STREAMS_PER_CLIENT": str(CLIENTS * 100),
        "EVENT_HISTORY": str(EVENTS),
        "SEND_TIMEOUT_SECONDS": "5",
        "SHUTDOWN_GRACE_SECONDS": "3",
        **clock.env,
    }
    is_running = asyncio.Event()
    clients = [Client(number, is_running) for number in range(CLIENTS)]
    runs: list[list[Event]] = []
    async with (
        asyncio.timeout(PATIENCE),
        faults(port, PATH, CLIENTS // 10),
        asyncio.TaskGroup() as tasks,
    ):
        following = [tasks.create_task(client.follow_all(port)) for client in clients]
        for number in range(RUNS):
            server = listener(
                *(require("uv"), "run", project.slug, "serve"),
                port=port,
                cwd=project.path,
                log=folder / f"log-{number}",
                env=env,
            )
            async with beside(server):
                is_running.set()
                # All clients have a first stream before the first event.
                for client in clients:
                    await client.ready.wait()
                last = number == RUNS - 1
                data = range(EVENTS)[number * EVENTS // RUNS : (number + 1) * EVENTS // RUNS]
                with running(asyncio.ensure_future(clock.step(Random(SEED)))):
                    runs.append(await publish(f"http://127.0.0.1:{port}", data, last=last))
                if last:
                    await asyncio.wait(following)
                is_running.clear()
    return clients, runs


def test_reconnecting_clients_lose_no_events(default_project: Project, tmp_path: Path) -> None:
    start = monotonic()

    clients, runs = asyncio.run(soak(default_project, tmp_path))

    streams = sum(client.streams for client in clients)
    print(f"{CLIENTS} clients, {EVENTS} events, {RUNS} runs, {streams} streams", end=", ")
    print(f"{sum(len(part) for client in clients for part in client.seen)} events read", end=", ")
    print(f"{monotonic() - start:.1f} seconds")
    for client in clients:
        parts = [part for part in client.seen if part]
        followed = [runs.index(events) for part in parts for events in runs if part[0] in events]
        # No loss, duplicate or disorder: what arrived is the beginning of a run, ...
        assert parts == [runs[n][: len(part)] for n, part in zip(followed, parts, strict=True)]
        # ... `reset` came between runs only, ...
        assert followed == sorted(set(followed))
        # ... and the last run, which was not cut short, is complete.
        assert parts[-1] == runs[-1]
    assert streams > RUNS * CLIENTS
