"""Clients that come and go while events are published and the server is restarted.

Of its usual size it takes seconds. `SOAK=200x10000` runs it with 200 clients and 10,000 events.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import monotonic

import httpx

from support.connection import TransferFailed
from support.follower import Event, Follower
from support.process import beside, listener
from support.project import Project
from support.tools import free_port, require

CLIENTS, EVENTS = map(int, os.environ.get("SOAK", "20x600").split("x"))
LIVES = 3
"""How many servers follow one another: it is restarted in between."""
TOPICS = ["soak-a", "soak-b", "soak-c"]
PATH = f"/events/{TOPICS[0]}?topic={TOPICS[1]}&topic={TOPICS[2]}"
PUBLISHERS = 4
SEED = 3
PATIENCE = 120 + CLIENTS * EVENTS / 1000
"""Seconds that all of it may take."""


class Client(Follower):
    """Follows all topics, and hangs up when it feels like it."""

    def __init__(self, number: int, running: asyncio.Event) -> None:
        super().__init__(PATH)
        self._running = running
        self._random = Random(f"{SEED}-{number}")
        self._left = self._patience()

    def leaves(self) -> bool:
        """Leave after some events, with a goodbye or without."""
        self._left -= 1
        if self._left >= 0:
            return False
        self._left = self._patience()
        if self.connection and self._random.random() < 0.5:
            self.connection.vanish()
        return True

    def _patience(self) -> int:
        return self._random.randint(0, max(EVENTS // LIVES // 4, 2))

    def refused(self, status: int) -> None:
        """Accept to be refused by a server that stops."""
        assert status == 503
        assert not self._running.is_set()

    async def follow_all(self, port: int) -> None:
        """Read until the last event of all is there."""
        while True:
            await self._running.wait()
            try:
                if await self.follow(port):
                    return
            except (TransferFailed, OSError):
                await asyncio.sleep(0.01)  # it was cut off, or came while the server went


async def publish(url: str, numbers: Sequence[int], *, last: bool) -> list[Event]:
    """Publish numbers, several at a time; the events in the order of their ids."""
    waiting = iter(numbers)
    published: list[Event] = []

    async def post(client: httpx.AsyncClient, number: int, **more: str) -> None:
        topic = TOPICS[number % len(TOPICS)]
        answer = await client.post(f"/events/{topic}", json={"data": number} | more)
        assert answer.status_code == 201
        published.append((answer.json()["id"], topic, number))

    async def publisher(client: httpx.AsyncClient) -> None:
        for number in waiting:
            await post(client, number)

    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        await asyncio.gather(*(publisher(client) for _ in range(PUBLISHERS)))
        if last:
            await post(client, -1, event="last")
    return sorted(published)


async def soak(project: Project, folder: Path) -> tuple[list[Client], list[list[Event]]]:
    """Run one server after the other; the clients, and what was published in each life."""
    port = free_port()
    env = {
        "DATABASE_URL": f"sqlite:///{folder}/soak.db",
        "PORT": str(port),
        "MAX_STREAMS_PER_CLIENT": str(CLIENTS * 100),
        "EVENT_HISTORY": str(EVENTS),
        "SHUTDOWN_GRACE_SECONDS": "3",
    }
    running = asyncio.Event()
    clients = [Client(number, running) for number in range(CLIENTS)]
    lives: list[list[Event]] = []
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        following = [tasks.create_task(client.follow_all(port)) for client in clients]
        for life in range(LIVES):
            server = listener(
                *(require("uv"), "run", project.slug, "serve"),
                port=port,
                cwd=project.path,
                log=folder / f"log-{life}",
                env=env,
            )
            async with beside(server):
                running.set()
                # Clients that have seen no server yet start now, and not with what was before.
                for client in clients:
                    await client.ready.wait()
                last = life == LIVES - 1
                numbers = range(EVENTS)[life * EVENTS // LIVES : (life + 1) * EVENTS // LIVES]
                lives.append(await publish(f"http://127.0.0.1:{port}", numbers, last=last))
                if last:
                    await asyncio.wait(following)
                running.clear()
    return clients, lives


def test_clients_that_come_and_go_miss_nothing_in_one_life_of_the_server_and_learn_of_the_next(
    default_project: Project, tmp_path: Path
) -> None:
    start = monotonic()

    clients, lives = asyncio.run(soak(default_project, tmp_path))

    streams = sum(client.streams for client in clients)
    print(f"{CLIENTS} clients, {EVENTS} events, {LIVES} lives, {streams} streams", end=", ")
    print(f"{sum(len(part) for client in clients for part in client.seen)} events read", end=", ")
    print(f"{monotonic() - start:.1f} seconds")
    for client in clients:
        parts = [part for part in client.seen if part]
        followed = [lives.index(life) for part in parts for life in lives if part[0] in life]
        # Without loss or duplicate or disorder: what arrived is how its life began, ...
        assert parts == [lives[n][: len(part)] for n, part in zip(followed, parts, strict=True)]
        # ... no two parts, between which there was a reset, are of one life, ...
        assert followed == sorted(set(followed))
        # ... and nothing of the last life, which nobody cut short, is missing.
        assert parts[-1] == lives[-1]
    assert streams > LIVES * CLIENTS
