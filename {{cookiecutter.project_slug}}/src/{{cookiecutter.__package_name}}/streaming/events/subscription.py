"""The events that wait for subscribers."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from ..registry import CHUNK_BYTES, SlowReader
from .wire import HEARTBEAT, Event

MAX_BUFFER_BYTES = 16 * 1024 * 1024
"""Maximum size of the events that wait for a subscriber, unless it is a single event."""
CATCH_UP_STEPS = 100
"""Milliseconds that publishers wait for subscribers before a full buffer ends a stream."""


class Subscription:
    """The events of some topics after a position, each once and in order.

    First come the pages of a replay: when one is taken, `read_page` is called, and `add_page` adds
    the next. Then come newer events, as many as the buffer holds. They are accepted from the
    beginning, so that none is missed while history is read.
    """

    def __init__(self, topics: Iterable[str], others: "Subscriptions") -> None:
        self.reset = False
        """Whether events after the requested position are lost."""
        self.position: str | None = None
        """The id to resume at for a client that has none and gets no event replayed."""
        self.notify: Callable[[], object] = bool
        """Called when there is something to take; `bool` does nothing."""
        self.read_page: Callable[[], object] = bool
        """Called when the replay needs the next page; `bool` does nothing."""
        self.is_slow = False
        """Whether publishers have waited in vain since nothing was waiting."""
        self._open_topics = set(topics)
        self._others = others
        self._replayed = ""
        self._page: list[Event] = []
        self._is_replaying = True
        self.pending: list[Event] = []
        """The newer events that wait."""
        self._bytes = 0
        self._sent = ""
        self._failure: Exception | None = None

    def start(
        self,
        page: list[Event],
        *,
        after: str | None,
        newest: str,
        lost: Iterable[str],
        finished: Iterable[str],
    ) -> None:
        """Begin with the first page of the replay, which ends with the id `newest`.

        `after` is the id to resume after: `None` without one, empty for one that history does not
        know. `lost` has an id for each topic, up to which its events are lost.
        """
        self.reset = after is not None and (not after or any(id > after for id in lost))
        self.position = None if page or (after and not self.reset) else newest
        self._open_topics.difference_update(finished)
        self._replayed = newest
        self._sent = self.position or after or ""
        self.pending = [event for event in self.pending if event.id > newest]
        self._bytes = total_size(self.pending)
        self.add_page(page)

    def add_page(self, page: list[Event]) -> None:
        """Add the next page of the replay; an empty one completes it."""
        self._page = page
        self._is_replaying = bool(page)
        self.notify()

    def push(self, event: Event, *, last: bool) -> None:
        """Add a newer event; if the buffer is full, the subscription fails with `SlowReader`."""
        if self._failure or event.id <= self._replayed:
            return
        self._bytes += event.size
        if self.pending and (
            len(self.pending) >= self._others.buffer or self._bytes > MAX_BUFFER_BYTES
        ):
            self.fail(SlowReader())
            return
        self.pending.append(event)
        if last:
            self._open_topics.discard(event.topic)
        self.notify()

    def fail(self, failure: Exception) -> None:
        """Raise `failure` once the waiting events are taken; the first failure wins."""
        self._failure = self._failure or failure
        if self._is_replaying:
            self._is_replaying = False
            self.pending = []
        self.notify()

    @property
    def is_open(self) -> bool:
        """Whether events can still come."""
        return bool(self._open_topics)

    @property
    def is_ready(self) -> bool:
        """Whether `take` returns events or raises, or all topics are finished."""
        if self._page or self._is_replaying:
            return bool(self._page)
        return bool(self.pending or self._failure or not self._open_topics)

    def take(self) -> Sequence[Event]:
        """Return the next events, up to `CHUNK_BYTES`; none at the end. Raises the failure."""
        if self._page:
            events, self._page = self._page, []
            if self._is_replaying:
                self.read_page()
        elif self._failure and not self.pending:
            raise self._failure
        elif self._bytes <= CHUNK_BYTES:
            events, self.pending, self._bytes = self.pending, [], 0
        else:
            events = first_page(self.pending)
            del self.pending[: len(events)]
            self._bytes -= total_size(events)
        self.is_slow = self.is_slow and bool(self.pending)
        if events:
            self._sent = events[-1].id
        return events

    def heartbeat(self) -> bytes:
        """Return a comment, with an id once the last one is too old to resume after."""
        if self._is_replaying or self.is_ready or self._sent >= self._others.lost:
            return HEARTBEAT
        self._sent = max(self._others.newest, self._replayed)
        # It changes the `Last-Event-ID` of the client, and is no event.
        return b": heartbeat\nid: %s\n\n" % self._sent.encode()


class Subscriptions:
    """The subscriptions of a process, by topic; `buffer` is the number of events for each."""

    def __init__(self, buffer: int) -> None:
        self.buffer = buffer
        self.newest = ""
        """The id of the newest event that was added."""
        self.lost = ""
        """An id up to which events are lost, of topics without events and subscribers."""
        self._topics: dict[str, set[Subscription]] = {}
        self._filled = 0.0

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics

    @contextmanager
    def delivering(self, topics: Sequence[str], subscription: Subscription) -> Iterator[None]:
        """Deliver the events of `topics` to `subscription`."""
        for topic in topics:
            self._topics.setdefault(topic, set()).add(subscription)
        try:
            yield
        finally:
            for topic in topics:
                self._topics[topic].discard(subscription)
                if not self._topics[topic]:
                    del self._topics[topic]

    def __iter__(self) -> Iterator[Subscription]:
        return iter({each for some in self._topics.values() for each in some})

    async def make_room(self, number: int, size: int) -> None:
        """Let subscribers take what waits for them, once for as many events as a buffer holds.

        Subscribers that do not catch up are slow, and publishers do not wait for them again.
        """
        added = max(number / self.buffer, size / MAX_BUFFER_BYTES)
        self._filled += added
        if self._filled <= 1:
            return
        self._filled = added
        behind = [each for each in self if each.pending and not each.is_slow]
        for each in behind:
            each.is_slow = True
        for _ in range(CATCH_UP_STEPS):
            if not any(each.pending for each in behind):
                return
            await asyncio.sleep(0.001)

    def push(self, event: Event, *, last: bool) -> None:
        """Add an event to the subscriptions of its topic."""
        self.newest = event.id
        for subscription in self._topics.get(event.topic, ()):
            subscription.push(event, last=last)


def total_size(events: Iterable[Event]) -> int:
    """Return the number of bytes of `events` in memory."""
    return sum(event.size for event in events)


def first_page(events: Iterable[Event]) -> list[Event]:
    """Return the first events, up to `CHUNK_BYTES`, or the first one if it is larger."""
    page: list[Event] = []
    left = CHUNK_BYTES
    for event in events:
        left -= event.size
        if page and left < 0:
            break
        page.append(event)
    return page
