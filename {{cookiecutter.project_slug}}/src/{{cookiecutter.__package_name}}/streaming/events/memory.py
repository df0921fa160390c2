"""The broker and the runs of one process: they are in its memory and end with it."""

import os
import re
import sys
import time
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from heapq import merge
from itertools import takewhile
from operator import attrgetter
from pathlib import Path
from secrets import token_hex

from anyio import Lock

from ..registry import SlowReader
from ..settings import exit_with
from .broker import EARLIEST, Broker, TopicFinished
from .runs import Run, Runs, RunStatus
from .subscription import Subscription, Subscriptions, first_page
from .wire import Event, Payload

ID = re.compile(r"[0-9]{13}[0-9a-f]{8}-[0-9]{12}")
ID_OF = attrgetter("id")
TOPIC_BYTES = 1024
"""Size in memory of a topic without events."""
MAX_ENDED = 10_000
"""Number of ended runs that are kept."""
SERVERS = {"fastapi", "gunicorn", "uvicorn"}
"""Commands with the option `--workers`."""
WORKERS = re.compile(r" (?:-w|--workers)[ =]?([0-9]+)")


@dataclass
class Topic:
    """A topic and its history, oldest event first."""

    lost: str
    """An id up to which events are lost."""
    history: deque[Event] = field(default_factory=deque)
    finished: bool = False

    @property
    def newest(self) -> str:
        """The id of the newest event, in history or lost."""
        return self.history[-1].id if self.history else self.lost

    def after(self, id: str) -> Iterator[Event]:
        """Yield the events after `id`."""
        for index in range(bisect_right(self.history, id, key=ID_OF), len(self.history)):
            yield self.history[index]


@dataclass(eq=False, kw_only=True)
class MemoryBroker(Broker):
    """Keeps `history` events per topic for `history_seconds`, in `history_bytes` for all topics.

    An id is the start of the broker, in milliseconds and random, and a sequence number, so that ids
    of another process are recognized. A topic without events and subscribers is forgotten, also one
    that is finished.
    """

    history: int
    history_seconds: float
    history_bytes: int
    buffer: int
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._life = f"{time.time_ns() // 1_000_000:013}{token_hex(4)}"
        self._published = 0
        self._topics: dict[str, Topic] = {}
        self._events: OrderedDict[str, tuple[float, Event]] = OrderedDict()
        self._bytes = 0
        self._subscriptions = Subscriptions(self.buffer)
        self._subscriptions.newest = self._subscriptions.lost = f"{self._life}-{0:012}"
        self._publishing = Lock(fast_acquire=True)

    async def is_over(self, topics: Sequence[str], last_event_id: str | None) -> bool:
        """Implement `Broker.is_over`."""
        if not last_event_id or not self._is_known(last_event_id):
            return False
        found = [self._topics.get(name) for name in topics]
        return all(topic and topic.finished and topic.newest <= last_event_id for topic in found)

    @asynccontextmanager
    async def subscribe(
        self, topics: Sequence[str], last_event_id: str | None
    ) -> AsyncIterator[Subscription]:
        self._evict()
        followed = {name: self._topic(name) for name in topics}
        start = last_event_id if last_event_id and self._is_known(last_event_id) else ""
        finished = [name for name, topic in followed.items() if topic.finished]
        replayed = finished if last_event_id is None else followed
        pages = self._pages([followed[name] for name in replayed], start)
        subscription = Subscription(topics, self._subscriptions)
        subscription.read_page = lambda: subscription.add_page(next(pages, []))
        subscription.start(
            next(pages, []),
            after=None if last_event_id in (None, EARLIEST) else start,
            newest=self._subscriptions.newest,
            lost=[topic.lost for topic in followed.values()],
            finished=finished,
        )
        try:
            with self._subscriptions.delivering(topics, subscription):
                yield subscription
        finally:
            for name in topics:
                self._release(name)

    async def ping(self) -> None:
        """Return: memory is always available."""

    def _is_known(self, id: str) -> bool:
        return bool(ID.fullmatch(id)) and self._life < id <= self._subscriptions.newest

    def _topic(self, name: str) -> Topic:
        return self._topics.setdefault(name, Topic(self._subscriptions.lost))

    def _pages(self, topics: Sequence[Topic], position: str) -> Iterator[list[Event]]:
        """Yield the events up to now. Raises `SlowReader` if one is evicted before its page."""
        newest = self._subscriptions.newest
        bounds = [(topic, topic.lost, topic.newest) for topic in topics]
        while page := first_page(
            takewhile(
                lambda event: event.id <= newest,
                merge(*(topic.after(position) for topic in topics), key=ID_OF),
            )
        ):
            yield page
            position = page[-1].id
            if any(min(topic.lost, end) > max(position, lost) for topic, lost, end in bounds):
                raise SlowReader

    async def _store(self, topic: str, payloads: Sequence[Payload], *, last: bool) -> list[str]:
        async with self._publishing:
            size = sum(payload.size for payload in payloads)
            await self._subscriptions.make_room(len(payloads), size)
            self._evict()
            stored = self._topic(topic)
            if stored.finished:
                raise TopicFinished(topic)
            stored.finished = last
            ids: list[str] = []
            for payload in payloads:
                self._published += 1
                event = Event(f"{self._life}-{self._published:012}", topic, *payload)
                ids.append(event.id)
                stored.history.append(event)
                self._events[event.id] = self.clock(), event
                self._bytes += event.size
                self._subscriptions.push(event, last=last)
            # A finished topic keeps its last event, and is known by it.
            while len(stored.history) > max(self.history, last):
                self._drop(stored.history[0])
            self._evict()
            return ids

    def _evict(self) -> None:
        """Drop the oldest events of all topics: those that expired or take too many bytes."""
        expired = self.clock() - self.history_seconds
        while self._events:
            published_at, event = next(iter(self._events.values()))
            size = self._bytes + TOPIC_BYTES * len(self._topics)
            if published_at >= expired and size <= self.history_bytes:
                return
            self._drop(event)

    def _drop(self, event: Event) -> None:
        """Drop the oldest event of its topic."""
        topic = self._topics[event.topic]
        topic.lost = topic.history.popleft().id
        del self._events[event.id]
        self._bytes -= event.size
        self._release(event.topic)

    def _release(self, name: str) -> None:
        """Forget a topic without events and subscribers."""
        topic = self._topics[name]
        if not topic.history and name not in self._subscriptions:
            self._subscriptions.lost = max(self._subscriptions.lost, topic.lost)
            del self._topics[name]


@dataclass(eq=False)
class MemoryRuns(Runs):
    """The runs of a service that has one process."""

    _runs: dict[str, Run] = field(default_factory=dict, init=False)
    _keys: dict[str, Run] = field(default_factory=dict, init=False)
    _ended: deque[tuple[float, Run]] = field(default_factory=deque, init=False)

    def are_running(self, topics: Iterable[str]) -> bool:
        """Return whether one of `topics` is that of a run which has not ended."""
        return any(topic.removeprefix("run-") in self._callers for topic in topics)

    async def find(self, id: str) -> Run | None:
        """Implement `Runs.find`."""
        self._evict()
        return self._runs.get(id)

#{% if cookiecutter.__uses.chat %}
    async def _claim(self, run: Run, *, create: bool, replace: bool = False) -> Run | None:
        self._evict()
        known = None if replace else self._keys.get(run.key)
#{% else %}
    async def _claim(self, run: Run, *, create: bool) -> Run | None:
        self._evict()
        known = self._keys.get(run.key)
#{% endif %}
        if create and not known:
            self._runs[run.id] = run
            if run.key:
                self._keys[run.key] = run
        return known

    async def _decide(self, id: str, status: RunStatus) -> RunStatus | None:
        run = self._runs.get(id)
        if run and run.status == "running":
            run.status = status
            self._ended.append((time.monotonic(), run))
        return run.status if run else None

    def _evict(self) -> None:
        expired = time.monotonic() - self.retention
        while self._ended and (len(self._ended) > MAX_ENDED or self._ended[0][0] < expired):
            _, run = self._ended.popleft()
            del self._runs[run.id]
#{% if cookiecutter.__uses.chat %}
            if self._keys.get(run.key) is run:
                del self._keys[run.key]
#{% else %}
            self._keys.pop(run.key, None)
#{% endif %}


def open_broker(settings: object) -> Broker:
    """Exit the process: events of a script would be in its own memory."""
    exit_with(
        "Events of a script reach no subscriber: the memory broker delivers them within the "
        "process of the service. Publish by POST /events/TOPIC, or choose a broker of several processes."
    )


def require_one_worker(workers: int | None = None) -> None:
    """Exit the process if the server has several workers: each would have its own events.

    Without `workers` it is the number on the command line or in the environment of a known server.
    Other signs do not hold: workers that are replaced overlap, and independent services can share a
    parent process.
    """
    program = Path(sys.argv[0])
    name = program.parent.name if program.stem == "__main__" else program.stem
    if workers is None and name in SERVERS:
        option = WORKERS.search(" ".join(sys.argv))
        default = os.environ.get("UVICORN_WORKERS") or os.environ.get("WEB_CONCURRENCY") or "1"
        workers = int(option[1] if option else default)
    if workers and workers > 1:
        exit_with(
            f"Invalid number of workers {workers} (--workers, WEB_CONCURRENCY): expected 1, "
            "since events are in the memory of one process"
        )
