"""What waits for one subscriber, whichever broker it comes from."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from ..streaming import SlowReader
from .wire import Event


class Subscription:
    """The events of some topics from one position on, each once and in order.

    What is replayed waits first, then at most `buffer` more. It takes events from its making on, so
    that none is missed while history is read for `start`.
    """

    def __init__(self, topics: Iterable[str], buffer: int) -> None:
        self.reset = False
        """Whether events between the position and the oldest one in history are lost."""
        self.position: str | None = None
        """The id to resume at for a client that has none and is not replayed any event."""
        self.notify: Callable[[], object] = bool
        """Called when there is something to take."""
        self._open_topics = set(topics)
        self._buffer = buffer
        self._newest = ""
        self._replay: list[Event] = []
        self._pending: list[Event] = []
        self._failure: Exception | None = None

    def start(
        self,
        replay: list[Event],
        *,
        newest: str,
        finished: Iterable[str],
        reset: bool,
        position: str | None,
    ) -> None:
        """Begin with `replay`, then go on after the id `newest`; `finished` topics are over."""
        self.reset = reset
        self.position = position
        self._open_topics.difference_update(finished)
        self._newest = newest
        self._replay = replay
        self._pending = [event for event in self._pending if event.id > newest]

    def push(self, event: Event, *, last: bool) -> None:
        """Add an event that is newer; with the first one that finds the buffer full, it is over."""
        if self._failure or event.id <= self._newest:
            return
        if len(self._pending) == self._buffer:
            self.fail(SlowReader())
            return
        self._pending.append(event)
        if last:
            self._open_topics.discard(event.topic)
        self.notify()

    def fail(self, failure: Exception) -> None:
        """Raise `failure` once all that waits is taken; the first one stands."""
        self._failure = self._failure or failure
        self.notify()

    @property
    def is_ready(self) -> bool:
        """Whether `take` returns events, or nothing comes any more."""
        return bool(self._pending or self._replay or self._failure or not self._open_topics)

    def take(self) -> Sequence[Event]:
        """Return all events that wait, or none.

        Raises `SlowReader` when too many waited to be taken, and what `fail` was given.
        """
        if self._replay:
            events = self._replay + self._pending
            self._replay, self._pending = [], []
            return events
        if self._pending:
            events, self._pending = self._pending, []
            return events
        if self._failure:
            raise self._failure
        return ()

    async def next(self) -> Sequence[Event]:
        """Wait for events and take them; none once every topic is finished. Raises as `take`."""
        arrived = asyncio.Event()
        self.notify = arrived.set
        while not (events := self.take()) and self._open_topics:
            await arrived.wait()
            arrived.clear()
        return events
