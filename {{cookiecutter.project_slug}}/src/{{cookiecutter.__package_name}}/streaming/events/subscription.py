"""The events that wait for one subscriber."""

from collections.abc import Callable, Iterable, Sequence

from ..registry import SlowReader
from .wire import Event


class Subscription:
    """The events of some topics after a position, each once and in order.

    First come the replayed events, then at most `buffer` newer ones. It accepts events from its
    creation on, so that none is missed while the history is read for `start`.
    """

    def __init__(self, topics: Iterable[str], buffer: int) -> None:
        self.reset = False
        """Whether events after the requested position are lost."""
        self.position: str | None = None
        """The id to resume at for a client that has none and gets no event replayed."""
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
        after: str | None,
        newest: str,
        lost: Iterable[str],
        finished: Iterable[str],
    ) -> None:
        """Begin with `replay`, and go on after the id `newest`.

        `after` is the id to resume after: `None` without one, empty for one that history does not
        know. `lost` has an id for each topic, up to which its events are lost.
        """
        self.reset = after is not None and (not after or any(id > after for id in lost))
        self.position = None if replay or (after and not self.reset) else newest
        self._open_topics.difference_update(finished)
        self._newest = newest
        self._replay = replay
        self._pending = [event for event in self._pending if event.id > newest]

    def push(self, event: Event, *, last: bool) -> None:
        """Add a newer event; if the buffer is full, the subscription fails with `SlowReader`."""
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
        """Raise `failure` once all waiting events are taken; the first failure wins."""
        self._failure = self._failure or failure
        self.notify()

    @property
    def is_open(self) -> bool:
        """Whether events can still come."""
        return bool(self._open_topics)

    @property
    def is_ready(self) -> bool:
        """Whether `take` returns events or raises, or all topics are finished."""
        return bool(self._pending or self._replay or self._failure or not self._open_topics)

    def take(self) -> Sequence[Event]:
        """Return all waiting events. Raises the exception of `fail`."""
        if not self._replay and not self._pending and self._failure:
            raise self._failure
        events = self._replay + self._pending if self._replay else self._pending
        self._replay, self._pending = [], []
        return events
