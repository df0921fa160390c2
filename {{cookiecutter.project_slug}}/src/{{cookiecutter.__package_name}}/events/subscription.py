"""What waits for one subscriber, whichever broker it comes from."""

import asyncio
from collections.abc import Iterable, Sequence

from ..streaming import SlowReader
from .wire import Event


class BufferedSubscription:
    """The events that wait for one subscriber: what is replayed, then at most `buffer` more.

    It takes events from its making on, so that none is missed while history is read for `start`.
    """

    def __init__(self, topics: Iterable[str], buffer: int) -> None:
        self.reset = False
        self.position: str | None = None
        self._open_topics = set(topics)
        self._buffer = buffer
        self._newest = ""
        self._replay: list[Event] = []
        self._pending: list[Event] = []
        self._failure: Exception | None = None
        self._wake: asyncio.Future[None] | None = None

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
        self._wake_up()

    def fail(self, failure: Exception) -> None:
        """Raise `failure` once all that waits is taken; the first one stands."""
        self._failure = self._failure or failure
        self._wake_up()

    async def next(self) -> Sequence[Event]:
        """Implement `Subscription.next`; raises what `fail` was given too."""
        while not (self._replay or self._pending):
            if self._failure:
                raise self._failure
            if not self._open_topics:
                return ()
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        events = self._replay + self._pending
        self._replay, self._pending = [], []
        return events

    def _wake_up(self) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(None)
