"""The load of event streams: many subscribers of one topic and a publisher, in one process.

Prints its figures as JSON. Memory and processor time of the server are read from `/proc`.
"""

import argparse
import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from statistics import quantiles

import uvloop

from .servers import Process

PUBLISHED_AT = re.compile(rb'"at": ?(\d+)')
MARK = b'"at"'
BURST = 10
PACE = 0.1
"""Seconds between events when delivery is timed."""
PATIENCE = 60.0
WARM = 10
"""Number of first subscribers whose memory is not counted: they include what is loaded once."""


class Crowd:
    """All subscribers together."""

    def __init__(self) -> None:
        self.members: list[Subscriber] = []
        self.connected = 0
        self.goal = 0
        self.missing = 0
        self.changed = asyncio.Event()
        self.delays: list[float] | None = None
        """The delays of events in milliseconds, if they are measured."""

    async def seen_by_all(self, events: int) -> None:
        """Wait until each subscriber has seen this number of events."""
        self.goal = events
        self.missing = sum(member.seen < events for member in self.members)
        await self.until(lambda: not self.missing)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, which is checked after every change."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Subscriber(asyncio.Protocol):
    """A connection that counts events."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.seen = 0
        self.connected = False
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        """Count the events in `data`, also one whose mark is split between two calls."""
        crowd = self.crowd
        if not self.connected:
            self.connected = True
            crowd.connected += 1
            crowd.changed.set()
        data = self.rest + data
        self.rest = data[1 - len(MARK) :]
        before = self.seen
        self.seen += data.count(MARK)
        if crowd.delays is not None:
            now = time.time_ns()
            crowd.delays += [(now - int(at)) / 1e6 for at in PUBLISHED_AT.findall(data)]
        if before < crowd.goal <= self.seen:
            crowd.missing -= 1
            if not crowd.missing:
                crowd.changed.set()


class Publisher:
    """A keep-alive connection that publishes."""

    def __init__(self, host: str, port: int, options: argparse.Namespace) -> None:
        self.host, self.port = host, port
        self.publish_path, self.burst_path = options.publish, options.burst
        self.body = options.body
        self.published = 0

    async def connect(self) -> None:
        """Open the connection."""
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)

    async def publish(self) -> None:
        """Publish one event."""
        self._send(self.publish_path)
        await self._read_response()

    async def publish_burst(self) -> None:
        """Publish ten events with one request, or with ten that are sent at once."""
        if self.burst_path:
            self._send(f"{self.burst_path}?n={BURST}", body="%s", events=BURST)
            await self._read_response()
        else:
            for _ in range(BURST):
                self._send(self.publish_path)
            for _ in range(BURST):
                await self._read_response()

    def _send(self, path: str, *, body: str = "", events: int = 1) -> None:
        event = {"tick": self.published, "at": time.time_ns(), "text": "lorem ipsum"}
        content = ((body or self.body) % json.dumps(event)).encode()
        self.published += events
        self.writer.write(
            b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (path.encode(), len(content), content)
        )

    async def _read_response(self) -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 20"):
            raise RuntimeError(head.decode())
        length = re.search(rb"content-length: (\d+)", head)
        await self.reader.readexactly(int(length[1]) if length else 0)


async def closed_loop(
    crowd: Crowd, publisher: Publisher, publish: Callable[[], Awaitable[None]], seconds: float
) -> int:
    """Publish for some seconds, up to two events or bursts ahead of the slowest subscriber.

    Returns the number of deliveries.
    """
    start = publisher.published
    previous = current = start
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        await crowd.seen_by_all(previous)
        await publish()
        previous, current = current, publisher.published
    await crowd.seen_by_all(current)
    return (current - start) * len(crowd.members)


async def paced(crowd: Crowd, publisher: Publisher, seconds: float) -> list[float]:
    """Publish at an even pace; return the delay of each delivery in milliseconds."""
    delays: list[float] = []
    crowd.delays = delays
    for _ in range(round(seconds / PACE)):
        await asyncio.gather(publisher.publish(), asyncio.sleep(PACE))
    await crowd.seen_by_all(publisher.published)
    crowd.delays = None
    return delays


async def measure(options: argparse.Namespace) -> dict[str, float]:
    """Return the figures of the chosen stages."""
    loop = asyncio.get_running_loop()
    server = Process(options.pid)
    crowd = Crowd()
    figures: dict[str, float] = {}
    request = f"GET {options.subscribe} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"

    async def join(count: int) -> None:
        for start in range(0, count, 50):
            for _ in range(min(50, count - start)):
                transport, member = await loop.create_connection(
                    lambda: Subscriber(crowd), "127.0.0.1", options.port
                )
                crowd.members.append(member)
                transport.write(request.encode())
            await crowd.until(lambda: crowd.connected == len(crowd.members))
        await asyncio.sleep(1)  # for work of the server after the start of its response

    await join(WARM)
    before = server.resident_kib()
    await join(options.subscribers - WARM)
    resident = server.resident_kib()
    if options.subscribers > WARM:
        figures["KiB a subscriber"] = (resident - before) / (options.subscribers - WARM)
    figures["server, MiB"] = resident / 1024

    if options.idle:
        cpu = server.cpu_seconds()
        await asyncio.sleep(options.idle)
        figures["CPU while idle, %"] = (server.cpu_seconds() - cpu) / options.idle * 100

    publisher = Publisher("127.0.0.1", options.port, options)
    await publisher.connect()
    await publisher.publish()
    await crowd.seen_by_all(1)
    if options.steady:
        for name, publish in (("", publisher.publish), ("bursts: ", publisher.publish_burst)):
            cpu, start = server.cpu_seconds(), time.perf_counter()
            deliveries = await closed_loop(crowd, publisher, publish, options.steady)
            figures[f"{name}events/s"] = deliveries / (time.perf_counter() - start)
            figures[f"{name}CPU µs an event"] = (server.cpu_seconds() - cpu) / deliveries * 1e6
    if options.paced:
        percentiles = quantiles(await paced(crowd, publisher, options.paced), n=100)
        figures["delivery p50, ms"] = percentiles[49]
        figures["delivery p99, ms"] = percentiles[98]
    if any(member.seen != publisher.published for member in crowd.members):
        raise RuntimeError("a subscriber got an event twice")
    return figures


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--subscribers", type=int, required=True)
    parser.add_argument("--subscribe", default="/events")
    parser.add_argument("--publish", default="/publish")
    parser.add_argument("--burst", default="", help="none: one request for each event")
    parser.add_argument("--body", default="%s", help="body of a publish, with %%s for the event")
    for stage in ("idle", "steady", "paced"):
        parser.add_argument(f"--{stage}", type=float, default=0.0, help="seconds")
    return parser.parse_args()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(arguments()))))
