"""Failover: two replicas behind nginx, with events in Redis, while each part goes down.

The link to Redis is slow and cut for a while; other clients stall or read slowly, and some events
are large or invalid.

`FAILOVER=100x5000` runs the test with 100 clients and 5,000 events, `RUNS=100x1000` with 100 runs
of 1,000 events.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse

from support.connection import TransferFailed
from support.faults import Link, faults
from support.follower import Event, Follower
from support.process import beside, listener
from support.project import Bake, Project
from support.servers import nginx
from support.tools import free_port, require

CLIENTS, EVENTS = map(int, os.environ.get("FAILOVER", "12x500").split("x"))
RUNS, TOKENS = map(int, os.environ.get("RUNS", "12x100").split("x"))
TOPICS = ["fail-a", "fail-b", "fail-c"]
PATH = f"/events/{TOPICS[0]}?topic={TOPICS[1]}&topic={TOPICS[2]}"
LARGE = 100
"""One event of so many has `PADDING`."""
PADDING = "x" * 200_000
PACE = 0.01
"""Seconds from one event to the next."""
RUN_PACE = RUNS / 1200
"""Seconds from one event of a run to the next: the rate of all runs is constant."""
FAULT = 1.0
"""Seconds for which the link to Redis is slow or cut."""
RETRY = 0.05
"""Seconds between attempts."""
PATIENCE = 120 + EVENTS / 20 + RUNS * TOKENS / 200
"""Time limit of a test in seconds."""
Failure = Callable[[], Coroutine[Any, Any, None]]
"""Stops or starts a part of the site."""

PERSISTENT = ("--appendonly", "yes", "--appendfsync", "always")


class Machine:
    """A program that can be stopped and started again."""

    def __init__(self, start: Callable[..., AbstractContextManager[object]]) -> None:
        self._start = start
        self._running = AsyncExitStack()

    async def up(self, **changes: object) -> None:
        """Start the program, with changes to the arguments of `listener`."""
        await self._running.enter_async_context(beside(self._start(**changes)))

    async def down(self) -> None:
        """Stop the program, if it runs."""
        await self._running.aclose()


class Client(Follower):
    """Follows all topics through nginx; with `loses` events may be lost."""

    def __init__(self, *, loses: bool) -> None:
        super().__init__(PATH)
        self._loses = loses

    def failed(self) -> None:
        """Accept a failure if events may be lost."""
        assert self._loses

    def rejected(self, status: int) -> None:
        """Accept that no replica or no Redis is available."""
        assert status in (502, 503, 504)

    async def follow_all(self, port: int) -> None:
        """Follow until the event `last`."""
        while True:
            try:
                if await self.follow(port):
                    return
            except (TransferFailed, OSError):
                pass  # a replica was stopped
            await asyncio.sleep(RETRY)


@dataclass
class Publisher:
    """Publishes numbers at an even pace, each until the response is 201."""

    url: str
    stored: list[Event] = field(default_factory=list)
    """The events whose response was 201."""
    doubtful: set[int] = field(default_factory=set)
    """The numbers with a failed attempt, which may have been stored all the same."""

    async def publish(self, client: httpx.AsyncClient, number: int, **more: str) -> None:
        """Publish one number."""
        topic = TOPICS[number % len(TOPICS)]
        large = {"number": number, "padding": PADDING}
        data = large if number % LARGE == 1 else number
        while True:
            try:
                response = await client.post(f"/events/{topic}", json={"data": data} | more)
            except httpx.TransportError:
                self.doubtful.add(number)
            else:
                if response.status_code == 201:
                    self.stored.append((response.json()["id"], topic, number))
                    return
                assert response.status_code in (502, 503, 504), response.text
                self.doubtful.add(number)
            await asyncio.sleep(RETRY)

    async def publish_all(self, failures: Sequence[Failure]) -> None:
        """Publish all numbers, with one failure after the other meanwhile, then `last`."""
        numbers = iter(range(EVENTS))
        async with httpx.AsyncClient(base_url=self.url, timeout=PATIENCE) as client:
            for failure in (None, *failures):
                happening = asyncio.ensure_future(failure() if failure else asyncio.sleep(0))
                for number in islice(numbers, EVENTS // (len(failures) + 1) + 1):
                    await asyncio.gather(self.publish(client, number), asyncio.sleep(PACE))
                await happening
            await self.publish(client, EVENTS, event="last")


@dataclass(frozen=True)
class Site:
    """A Redis, two replicas and an nginx in front of them, all running."""

    port: int
    redis: Machine
    link: Link
    """The link of the replicas to Redis."""
    replicas: list[Machine]
    replica_ports: list[int]
    env: dict[str, str]
    """The settings of the replicas."""

    async def restart_redis(self) -> None:
        """Stop Redis and start it again."""
        await self.redis.down()
        await self.redis.up()


@asynccontextmanager
async def site(project: Project, folder: Path, *redis_options: str) -> AsyncIterator[Site]:
    """Run a site whose parts are stopped by SIGKILL, unless they were started otherwise."""
    ports = [free_port() for _ in range(2)]
    redis_port, port = free_port(), free_port()
    env = {
        "MAX_STREAMS_PER_CLIENT": str(CLIENTS * 10 + RUNS * 10),
        "MAX_RUNS_PER_CLIENT": str(RUNS),
        "EVENT_HISTORY": str(EVENTS * 2 + TOKENS * 2),
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
        link = await stack.enter_async_context(Link(redis_port))
        env["REDIS_URL"] = f"redis://127.0.0.1:{link.port}/0"
        for machine in (redis, *replicas):
            stack.push_async_callback(machine.down)
            await machine.up()
        await stack.enter_async_context(beside(proxy))
        yield Site(port, redis, link, replicas, ports, env)


@dataclass(frozen=True)
class Outcome:
    """The clients and the publisher after a test."""

    clients: list[Client]
    publisher: Publisher
    seconds: float


async def fail_over(project: Project, folder: Path, *redis_options: str) -> Outcome:
    """Publish while each part goes down and comes up again."""
    start = monotonic()
    clients = [Client(loses=not redis_options) for _ in range(CLIENTS)]
    async with site(project, folder, *redis_options) as running:
        one, other = running.replicas
        # The second time the replica is stopped gracefully.
        back = partial(one.up, stop=signal.SIGTERM)
        slow, cut = partial(running.link.slow, FAULT), partial(running.link.cut, FAULT)
        publisher = Publisher(f"http://127.0.0.1:{running.port}")
        async with faults(running.port, PATH, CLIENTS // 10 + 1), asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(client.follow_all(running.port))
            for client in clients:
                await client.ready.wait()
            await publisher.publish_all(
                [
                    *(one.down, back, slow, other.down, other.up),
                    *(cut, one.down, one.up, running.restart_redis),
                ]
            )
    publisher.stored.sort()
    return Outcome(clients, publisher, monotonic() - start)


@pytest.fixture(scope="module")
def project(bake: Bake, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with events in Redis and without exports."""
    project = bake(
        tmp_path_factory.mktemp("failover"), event_broker="redis", ndjson=False, csv=False
    )
    project.run("python", "-c", "")
    return project


def report(outcome: Outcome) -> None:
    """Print the figures of a test."""
    publisher = outcome.publisher
    streams = sum(client.streams for client in outcome.clients)
    resets = sum(len(client.seen) - 1 for client in outcome.clients)
    read = sum(len(part) for client in outcome.clients for part in client.seen)
    print(f"{CLIENTS} clients, {len(publisher.stored)} events stored, {streams} streams", end=", ")
    print(f"{read} events read, {resets} resets", end=", ")
    print(f"{len(publisher.doubtful)} doubtful, {outcome.seconds:.1f} seconds")


def test_every_client_gets_every_event_once(project: Project, tmp_path: Path) -> None:
    outcome = asyncio.run(fail_over(project, tmp_path, *PERSISTENT))

    report(outcome)
    stored, doubtful = outcome.publisher.stored, outcome.publisher.doubtful
    for client in outcome.clients:
        (seen,) = client.seen  # no `reset`
        ids = [identifier for identifier, _, _ in seen]
        assert ids == sorted(set(ids))  # each once, and in order
        assert set(stored) <= set(seen)  # and complete
        assert {number for _, _, number in set(seen) - set(stored)} <= doubtful
        assert seen == outcome.clients[0].seen[0]
    assert sum(client.streams for client in outcome.clients) > CLIENTS


def test_loss_in_redis_resets_every_client(project: Project, tmp_path: Path) -> None:
    outcome = asyncio.run(fail_over(project, tmp_path))

    report(outcome)
    stored = outcome.publisher.stored
    epochs = sorted({event[0][:13] for event in stored})
    before, after = ([event for event in stored if event[0].startswith(epoch)] for epoch in epochs)
    for client in outcome.clients:
        first, *others = client.seen
        ids = [identifier for part in client.seen for identifier, _, _ in part]
        assert ids == sorted(set(ids))
        assert others  # there was a `reset` ...
        seen = {event for part in others for event in part}
        assert set(after) <= seen  # ... and all events after it
        assert all(event[0].startswith(epochs[0]) for event in first)
        known = [event for event in first if event in set(before)]
        assert known == before[: len(known)]  # without a gap before it


async def statuses(port: int, requests: int = 20) -> list[int]:
    """Request the health and publish, alternately; return the statuses."""
    received = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        for _ in range(requests):
            health = await client.get("/health")
            published = await client.post("/events/requested", json={"data": 1})
            received += [health.status_code, published.status_code]
    return received


async def until_healthy(ports: Iterable[int]) -> None:
    """Wait until services are healthy."""
    for port in ports:
        while set(await statuses(port, 1)) != {200, 201}:
            await asyncio.sleep(RETRY)


def test_nginx_avoids_unavailable_replica(project: Project, tmp_path: Path) -> None:
    async def request() -> tuple[list[int], list[int]]:
        async with site(project, tmp_path) as running:
            one, _ = running.replicas
            await one.down()
            stopped = await statuses(running.port)
            await one.up(env=running.env | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}"})
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}") as client:
                unhealthy = [(await client.get("/health")).status_code for _ in range(20)]
            return stopped, unhealthy

    stopped, unhealthy = asyncio.run(request())

    assert stopped == [200, 201] * 20
    assert unhealthy == [200] * 20


def test_nginx_uses_recovered_replicas_at_once(project: Project, tmp_path: Path) -> None:
    async def request() -> tuple[list[int], list[int]]:
        async with site(project, tmp_path) as running:
            await running.redis.down()
            unhealthy = await statuses(running.port, 3)
            await running.redis.up()
            await until_healthy(running.replica_ports)
            return unhealthy, await statuses(running.port)

    unhealthy, healthy = asyncio.run(request())

    assert unhealthy == [503, 503] * 3
    assert healthy == [200, 201] * 20


class RunFollower(Follower):
    """Follows a run to its last event, and disconnects after random numbers of events."""

    def __init__(self, topic: str, seed: str) -> None:
        super().__init__(f"/events/{topic}?last_event_id=earliest")
        self.counts: list[int] = []
        self.end = ""
        """The name of the last event."""
        self.halfway = asyncio.Event()
        """Set when half of the run has arrived."""
        self._random = Random(seed)

    def leaves(self) -> bool:
        """Disconnect after one event of 20."""
        return self._random.random() < 0.05

    def rejected(self, status: int) -> None:
        """Accept that a replica is not available."""
        assert status in (502, 503, 504)

    async def follow_to_end(self, port: int) -> None:
        """Follow until the last event."""
        while not self.end:
            with suppress(TransferFailed, OSError):  # a replica was killed
                await self.follow(port)
            await asyncio.sleep(self._random.random() * RETRY)

    def _record(self, block: str) -> bool:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        self._position = fields.get("id", self._position)
        name = fields.get("event", "")
        if not name:
            self.counts.append(json.loads(fields["data"])["count"])
            if len(self.counts) * 2 >= TOKENS:
                self.halfway.set()
        elif name != "ready":
            self.end = name
        return bool(self.end)


def test_followers_of_runs_see_each_event_once(project: Project, tmp_path: Path) -> None:
    async def follow() -> tuple[list[list[RunFollower]], list[str], float]:
        """Kill the replica of half of the runs; return the followers and the status of each run."""
        async with (
            site(project, tmp_path, *PERSISTENT) as running,
            httpx.AsyncClient(timeout=PATIENCE) as client,
        ):
            runs = []
            for number in range(RUNS):
                url = f"http://127.0.0.1:{running.replica_ports[number % 2]}/runs"
                runs.append(await client.post(url, json={"steps": TOKENS, "interval": RUN_PACE}))
            topics = [run.json()["topic"] for run in runs]
            followers = [[RunFollower(topic, f"{topic}-{n}") for n in range(3)] for topic in topics]
            async with asyncio.TaskGroup() as tasks:
                for follower in chain(*followers):
                    tasks.create_task(follower.follow_to_end(running.port))
                await followers[0][0].halfway.wait()
                await running.replicas[0].down()
                killed = monotonic()
                await running.replicas[0].up()
            seconds = monotonic() - killed
            site_url = f"http://127.0.0.1:{running.port}"
            ended = [await client.get(site_url + run.headers["location"]) for run in runs]
            return followers, [each.json()["status"] for each in ended], seconds

    followers, ends, seconds = asyncio.run(follow())

    streams = sum(follower.streams for follower in chain(*followers))
    print(f"{RUNS} runs, {TOKENS} events each, {streams} streams, {seconds:.1f} seconds to the end")
    assert ends == ["failed", "done"] * (RUNS // 2)
    for status, (first, *others) in zip(ends, followers, strict=True):
        assert first.end == ("done" if status == "done" else "stream-error")
        assert first.counts == list(range(TOKENS if status == "done" else len(first.counts)))
        assert all((each.end, each.counts) == (first.end, first.counts) for each in others)
    assert seconds < 60 + RUNS * TOKENS / 200


@pytest.mark.parametrize("interval", [PACE, 3600])
def test_run_is_stopped_at_another_replica(
    project: Project, tmp_path: Path, interval: float
) -> None:
    async def stop() -> tuple[ServerSentEvent, float]:
        """Start a run at one replica, and stop it at the other; return its last event."""
        async with (
            site(project, tmp_path) as running,
            httpx.AsyncClient(timeout=PATIENCE) as client,
        ):
            one, other = (f"http://127.0.0.1:{port}" for port in running.replica_ports)
            body = {"steps": 1_000_000, "interval": interval}
            run = await client.post(f"{one}/runs", json=body)
            path = f"/events/{run.json()['topic']}?last_event_id=earliest"
            async with aconnect_sse(client, "GET", other + path) as source:
                asked = monotonic()
                stopped = await client.delete(other + run.headers["location"])
                assert stopped.status_code == 204
                *_, last = [event async for event in source.aiter_sse()]
                return last, monotonic() - asked

    last, seconds = asyncio.run(stop())

    assert (last.event, json.loads(last.data)) == ("done", {"done": True, "status": "stopped"})
    assert seconds < 3
