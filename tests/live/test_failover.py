"""Two replicas behind nginx, which share their events through Redis, and each of which goes down.

Of its usual size it takes seconds. `FAILOVER=100x5000` runs it with 100 clients and 5,000 events.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse

from support.connection import TransferFailed
from support.follower import Event, Follower
from support.process import beside, listener
from support.project import Bake, Project
from support.servers import nginx
from support.tools import free_port, require

CLIENTS, EVENTS = map(int, os.environ.get("FAILOVER", "12x500").split("x"))
TOPICS = ["fail-a", "fail-b", "fail-c"]
PATH = f"/events/{TOPICS[0]}?topic={TOPICS[1]}&topic={TOPICS[2]}"
PACE = 0.01
"""Seconds from one event to the next."""
AGAIN = 0.05
"""Seconds after which one tries again."""
PATIENCE = 120 + EVENTS / 20
"""Seconds that all of it may take."""
Disaster = Callable[[], Coroutine[Any, Any, None]]

PERSISTENT = ("--appendonly", "yes", "--appendfsync", "always")


class Machine:
    """A program that is ended and started again."""

    def __init__(self, start: Callable[..., AbstractContextManager[object]]) -> None:
        self._start = start
        self._running = AsyncExitStack()

    async def up(self, **changes: object) -> None:
        """Start it, with changes to how it is run."""
        await self._running.enter_async_context(beside(self._start(**changes)))

    async def down(self) -> None:
        """End it, if it runs."""
        await self._running.aclose()


class Client(Follower):
    """Follows all topics through nginx, whatever happens."""

    def __init__(self, *, loses: bool) -> None:
        super().__init__(PATH)
        self._loses = loses

    def failed(self) -> None:
        """Accept to be told of a loss, if there may be one."""
        assert self._loses

    def refused(self, status: int) -> None:
        """Accept that no replica is there, or that Redis is not."""
        assert status in (502, 503)

    async def follow_all(self, port: int) -> None:
        """Read until the last event of all is there."""
        while True:
            try:
                if await self.follow(port):
                    return
            except (TransferFailed, OSError):
                pass  # a replica is gone
            await asyncio.sleep(AGAIN)


@dataclass
class Publisher:
    """Publishes numbers at an even pace, each until it is told that it was stored."""

    url: str
    stored: list[Event] = field(default_factory=list)
    """The events that were answered with 201, in the order of their ids."""
    doubtful: set[int] = field(default_factory=set)
    """The numbers of which a publish failed: the replica, or Redis, may have stored it before."""

    async def publish(self, client: httpx.AsyncClient, number: int, **more: str) -> None:
        """Publish one number."""
        topic = TOPICS[number % len(TOPICS)]
        while True:
            try:
                answer = await client.post(f"/events/{topic}", json={"data": number} | more)
            except httpx.TransportError:
                self.doubtful.add(number)
            else:
                if answer.status_code == 201:
                    self.stored.append((answer.json()["id"], topic, number))
                    return
                assert answer.status_code in (502, 503, 504), answer.text
                self.doubtful.add(number)
            await asyncio.sleep(AGAIN)

    async def publish_all(self, disasters: Sequence[Disaster]) -> None:
        """Publish everything, with one disaster after the other on the way, and then the last."""
        numbers = iter(range(EVENTS))
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE) as client:
            for disaster in (None, *disasters):
                happening = asyncio.ensure_future(disaster() if disaster else asyncio.sleep(0))
                for number in islice(numbers, EVENTS // (len(disasters) + 1) + 1):
                    await asyncio.gather(self.publish(client, number), asyncio.sleep(PACE))
                await happening
            await self.publish(client, EVENTS, event="last")


@dataclass(frozen=True)
class Site:
    """A Redis, two replicas and the nginx in front of them, all running."""

    port: int
    redis: Machine
    replicas: list[Machine]
    replica_ports: list[int]
    env: dict[str, str]
    """The settings of the replicas."""

    async def restart_redis(self) -> None:
        """End Redis and start it again."""
        await self.redis.down()
        await self.redis.up()


@asynccontextmanager
async def site(project: Project, folder: Path, *redis_options: str) -> AsyncIterator[Site]:
    """Run everything; what is ended is killed, unless it is started otherwise."""
    ports = [free_port() for _ in range(2)]
    redis_port, port = free_port(), free_port()
    env = {
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "MAX_STREAMS_PER_CLIENT": str(CLIENTS * 10),
        "EVENT_HISTORY": str(EVENTS * 2),
        "SUBSCRIBER_BUFFER": str(EVENTS * 2),
    }
    redis = Machine(
        partial(
            listener,
            *(require("redis-server"), "--port", str(redis_port), "--bind", "127.0.0.1"),
            *("--save", "", "--dir", str(folder), *redis_options),
            port=redis_port,
            cwd=folder,
            log=folder / "redis.log",
            stop=signal.SIGKILL,
        )
    )
    replicas = [
        Machine(
            partial(
                listener,
                *(project.python, "-m", project.package, "serve", "--port", str(port)),
                port=port,
                cwd=project.path,
                log=folder / f"replica-{port}.log",
                env=env,
                stop=signal.SIGKILL,
            )
        )
        for port in ports
    ]
    replacements = {
        "server app-1:8000": f"server 127.0.0.1:{ports[0]}",
        "server app-2:8000": f"server 127.0.0.1:{ports[1]}",
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "access_log /var/log/nginx/access.log ": f"access_log {folder}/access.log ",
    }
    proxy = nginx(project.read("deploy/nginx.conf"), replacements, port=port, folder=folder)
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
        for machine in (redis, *replicas):
            stack.push_async_callback(machine.down)
            await machine.up()
        await stack.enter_async_context(beside(proxy))
        yield Site(port, redis, replicas, ports, env)


@dataclass(frozen=True)
class Outcome:
    """What was published, and who saw what of it."""

    clients: list[Client]
    publisher: Publisher
    seconds: float


async def fail_over(project: Project, folder: Path, *redis_options: str) -> Outcome:
    """Publish while each part goes down and comes back."""
    start = monotonic()
    clients = [Client(loses=not redis_options) for _ in range(CLIENTS)]
    async with site(project, folder, *redis_options) as running:
        one, other = running.replicas
        # One that comes back is stopped the next time, where it was killed before.
        back = partial(one.up, stop=signal.SIGTERM)
        publisher = Publisher(f"http://127.0.0.1:{running.port}")
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(client.follow_all(running.port))
            for client in clients:
                await client.ready.wait()
            await publisher.publish_all(
                [one.down, back, other.down, other.up, one.down, one.up, running.restart_redis]
            )
    publisher.stored.sort()
    return Outcome(clients, publisher, monotonic() - start)


@pytest.fixture(scope="module")
def project(bake: Bake, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Generate and install a project whose events go through Redis."""
    project = bake(
        tmp_path_factory.mktemp("failover"), event_broker="redis", ndjson=False, csv=False
    )
    project.run("python", "-c", "")
    return project


def report(outcome: Outcome) -> None:
    """Print figures."""
    publisher = outcome.publisher
    streams = sum(client.streams for client in outcome.clients)
    resets = sum(len(client.seen) - 1 for client in outcome.clients)
    read = sum(len(part) for client in outcome.clients for part in client.seen)
    print(f"{CLIENTS} clients, {len(publisher.stored)} events stored, {streams} streams", end=", ")
    print(f"{read} events read, {resets} resets", end=", ")
    print(f"{len(publisher.doubtful)} doubtful, {outcome.seconds:.1f} seconds")


def test_every_client_has_every_event_once_though_everything_goes_down(
    project: Project, tmp_path: Path
) -> None:
    outcome = asyncio.run(fail_over(project, tmp_path, *PERSISTENT))

    report(outcome)
    stored, doubtful = outcome.publisher.stored, outcome.publisher.doubtful
    for client in outcome.clients:
        (seen,) = client.seen  # no loss was reported
        ids = [identifier for identifier, _, _ in seen]
        assert ids == sorted(set(ids))  # each once, and in order
        assert set(stored) <= set(seen)  # and all of them
        assert {number for _, _, number in set(seen) - set(stored)} <= doubtful
        assert seen == outcome.clients[0].seen[0]
    assert sum(client.streams for client in outcome.clients) > CLIENTS


def test_what_redis_forgets_is_told_to_every_client(project: Project, tmp_path: Path) -> None:
    outcome = asyncio.run(fail_over(project, tmp_path))

    report(outcome)
    stored = outcome.publisher.stored
    lives = sorted({event[0][:13] for event in stored})
    before, after = ([event for event in stored if event[0].startswith(life)] for life in lives)
    for client in outcome.clients:
        first, *others = client.seen
        ids = [identifier for part in client.seen for identifier, _, _ in part]
        assert ids == sorted(set(ids))
        assert others  # the loss was told ...
        seen = {event for part in others for event in part}
        assert set(after) <= seen  # ... and what was published since is there
        assert all(event[0].startswith(lives[0]) for event in first)
        ours = [event for event in first if event in set(before)]
        assert ours == before[: len(ours)]  # without a hole up to where it was cut off


async def answers(port: int, requests: int = 20) -> list[int]:
    """Ask how a service is, and publish to it, again and again; the statuses of the answers."""
    statuses = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        for _ in range(requests):
            asked = await client.get("/health")
            published = await client.post("/events/asked", json={"data": 1})
            statuses += [asked.status_code, published.status_code]
    return statuses


async def until_well(ports: Iterable[int]) -> None:
    """Wait until each of some services says that it is well."""
    for port in ports:
        while set(await answers(port, 1)) != {200, 201}:
            await asyncio.sleep(AGAIN)


def test_what_one_replica_cannot_take_the_other_does(project: Project, tmp_path: Path) -> None:
    async def ask() -> tuple[list[int], list[int]]:
        async with site(project, tmp_path) as running:
            one, _ = running.replicas
            await one.down()
            gone = await answers(running.port)
            await one.up(env=running.env | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}"})
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client:
                ill = [(await client.get("/health")).status_code for _ in range(20)]
            return gone, ill

    gone, ill = asyncio.run(ask())

    assert gone == [200, 201] * 20
    assert ill == [200] * 20


def test_replicas_that_were_all_ill_are_asked_as_soon_as_they_are_well(
    project: Project, tmp_path: Path
) -> None:
    async def ask() -> tuple[list[int], list[int]]:
        async with site(project, tmp_path) as running:
            await running.redis.down()
            ill = await answers(running.port, 3)
            await running.redis.up()
            await until_well(running.replica_ports)
            return ill, await answers(running.port)

    ill, well = asyncio.run(ask())

    assert ill == [503, 503] * 3
    assert well == [200, 201] * 20


def test_a_job_that_dies_with_its_replica_leaves_its_topic_open_with_what_it_said(
    project: Project, tmp_path: Path
) -> None:
    async def die() -> tuple[list[ServerSentEvent], list[ServerSentEvent]]:
        """Follow a job at the other replica, past its death, then resume after its first event."""
        async with (
            site(project, tmp_path) as running,
            httpx.AsyncClient(timeout=PATIENCE) as client,
        ):
            one, other = (f"http://127.0.0.1:{port}" for port in running.replica_ports)
            job = await client.post(f"{one}/jobs", json={"steps": 1_000_000, "interval": PACE})
            topic = f"{other}/events/{job.json()['topic']}"
            async with aconnect_sse(client, "GET", f"{other}{job.headers['location']}") as source:
                events = source.aiter_sse()
                followed = [await anext(events) for _ in range(10)]
                await running.replicas[0].down()
                published = await client.post(topic, json={"data": "afterwards"})
                assert published.status_code == 201
                while followed[-1].id != published.json()["id"]:
                    followed.append(await anext(events))
            after = {"Last-Event-ID": followed[1].id}
            async with aconnect_sse(client, "GET", topic, headers=after) as source:
                events = source.aiter_sse()
                resumed = [await anext(events) for _ in followed[1:]]
            return followed, resumed

    followed, resumed = asyncio.run(die())

    _, *counts, last = followed
    assert [json.loads(event.data)["count"] for event in counts] == list(range(len(counts)))
    assert json.loads(last.data) == "afterwards"
    assert {event.event for event in (*counts, last)} == {"message"}  # no `done`, no `stream-error`
    assert [(event.id, event.data) for event in resumed[1:]] == [
        (event.id, event.data) for event in followed[2:]
    ]
