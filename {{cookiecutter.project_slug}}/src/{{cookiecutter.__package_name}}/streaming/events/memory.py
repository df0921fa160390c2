"""The broker of one process: events are in its memory and end with it."""

import os
import re
import sys
import time
from argparse import ArgumentParser
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..settings import exit_with
from .broker import EARLIEST, Broker, TopicFinished
from .subscription import Subscription
from .wire import Event

ID = re.compile(r"[0-9]{13}-[0-9]{12}")
SERVERS = {"fastapi", "gunicorn", "uvicorn"}
"""Commands with the option `--workers`."""


@dataclass
class Topic:
    """A topic: its history, oldest event first, and its subscriptions."""

    lost: str
    """An id up to which events are lost."""
    history: deque[tuple[float, Event]] = field(default_factory=deque)
    finished: bool = False
    subscriptions: set[Subscription] = field(default_factory=set)
    used_at: float = 0.0

    @property
    def newest(self) -> str:
        """The id of the newest event, in history or lost."""
        return self.history[-1][1].id if self.history else self.lost

    def evict(self, keep: int, before: float) -> None:
        """Remove the oldest events: all but `keep`, and those published before that time."""
        while self.history and (len(self.history) > keep or self.history[0][0] < before):
            self.lost = self.history.popleft()[1].id


@dataclass(eq=False, kw_only=True)
class MemoryBroker(Broker):
    """Keeps `history` events per topic for `history_seconds`.

    An id is the start time of the broker in milliseconds and a sequence number, so that ids of
    another process are recognized. A topic without subscribers is evicted when it has not been used
    for `history_seconds`, or when `max_topics` others have been used since.
    """

    history: int
    history_seconds: float
    max_topics: int
    buffer: int
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._life = f"{time.time_ns() // 1_000_000:013}"
        self._published = 0
        self._lost = self._last_id
        self._topics: dict[str, Topic] = {}
        self._unused: OrderedDict[str, Topic] = OrderedDict()

    async def is_over(self, topics: Sequence[str], last_event_id: str | None) -> bool:
        """Implement `Broker.is_over`."""
        if last_event_id is None or not self._is_known(last_event_id):
            return False
        found = [self._topics.get(name) for name in topics]
        return all(topic and topic.finished and topic.newest <= last_event_id for topic in found)

    @asynccontextmanager
    async def subscribe(
        self, topics: Sequence[str], last_event_id: str | None
    ) -> AsyncIterator[Subscription]:
        followed = {name: self._topic(name) for name in topics}
        subscription = self._subscription(followed, last_event_id)
        for name, topic in followed.items():
            topic.subscriptions.add(subscription)
            self._unused.pop(name, None)
        try:
            yield subscription
        finally:
            for name, topic in followed.items():
                topic.subscriptions.discard(subscription)
                self._release(name, topic)

    async def ping(self) -> None:
        """Return: memory is always available."""

    async def close(self) -> None:
        """Return: there is nothing to release."""

    @property
    def _last_id(self) -> str:
        return f"{self._life}-{self._published:012}"

    def _is_known(self, id: str) -> bool:
        return bool(ID.fullmatch(id)) and id.startswith(self._life) and id <= self._last_id

    def _topic(self, name: str) -> Topic:
        """Return a topic without expired events, or a new one."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(lost=self._lost)
        topic.evict(self.history, before=self.clock() - self.history_seconds)
        return topic

    def _subscription(self, followed: dict[str, Topic], last_event_id: str | None) -> Subscription:
        """Return a started subscription, which has the only reference to its replay."""
        known = last_event_id is not None and self._is_known(last_event_id)
        start = last_event_id if last_event_id is not None and known else ""
        replay = sorted(
            (
                event
                for topic in followed.values()
                if topic.finished or last_event_id is not None
                for _, event in topic.history
                if event.id > start
            ),
            key=lambda event: event.id,
        )
        subscription = Subscription(followed, self.buffer)
        subscription.start(
            replay,
            after=None if last_event_id in (None, EARLIEST) else start,
            newest=self._last_id,
            lost=[topic.lost for topic in followed.values()],
            finished=[name for name, topic in followed.items() if topic.finished],
        )
        return subscription

    async def _store(self, topic: str, data: bytes, name: str | None, *, last: bool) -> str:
        event = Event(f"{self._life}-{self._published + 1:012}", topic, data, name)
        stored = self._topic(topic)
        if stored.finished:
            raise TopicFinished(topic)
        self._published += 1
        stored.finished = last
        stored.history.append((self.clock(), event))
        stored.evict(self.history, before=self.clock() - self.history_seconds)
        for subscription in stored.subscriptions:
            subscription.push(event, last=last)
        self._release(topic, stored)
        return event.id

    def _release(self, name: str, topic: Topic) -> None:
        """Mark `topic` as unused if it has no subscribers, and evict unused topics."""
        if topic.subscriptions:
            return
        if not topic.history and not topic.finished and topic.lost <= self._lost:
            self._topics.pop(name, None)
            return
        topic.used_at = self.clock()
        self._unused[name] = topic
        self._unused.move_to_end(name)
        expired = topic.used_at - self.history_seconds
        oldest = next(iter(self._unused.values()))
        while len(self._unused) > self.max_topics or oldest.used_at < expired:
            evicted, _ = self._unused.popitem(last=False)
            del self._topics[evicted]
            self._lost = max(self._lost, oldest.newest)
            oldest = next(iter(self._unused.values()))


def require_one_worker(workers: int | None = None) -> None:
    """Exit the process if the server has several workers: each would have its own events.

    Without `workers` it is the number that the server of this process was started with.
    """
    workers = configured_workers() if workers is None else workers
    if workers > 1:
        exit_with(
            f"Invalid number of workers {workers} (--workers, WEB_CONCURRENCY): expected 1, "
            "since events are in the memory of one process"
        )


def configured_workers() -> int:
    """Return the number of workers on the command line or in the environment of the server.

    1 for unknown servers. Other signs do not hold: workers that are replaced overlap, and
    independent services can share a parent process.
    """
    program = Path(sys.argv[0])
    if (program.parent.name if program.stem == "__main__" else program.stem) not in SERVERS:
        return 1
    options = ArgumentParser()
    default = os.environ.get("UVICORN_WORKERS") or os.environ.get("WEB_CONCURRENCY") or "1"
    options.add_argument("-w", "--workers", type=int, default=default)
    workers: int = options.parse_known_args(sys.argv[1:])[0].workers
    return workers
