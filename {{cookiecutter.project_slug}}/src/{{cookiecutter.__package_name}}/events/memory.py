"""The broker of one process: nothing to run, and gone with it."""

import re
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .broker import EARLIEST, TopicFinished
from .subscription import Subscription
from .wire import DONE, Event

ID = re.compile(r"[0-9]{13}-[0-9]{12}")


@dataclass
class Topic:
    """A topic's history, oldest event first, and who follows it."""

    lost: str
    """An id that no event before the history, that is gone now, comes after."""
    history: deque[tuple[float, Event]] = field(default_factory=deque)
    finished: bool = False
    subscriptions: set[Subscription] = field(default_factory=set)
    used_at: float = 0.0

    @property
    def newest(self) -> str:
        """The id of the newest event, in history or lost."""
        return self.history[-1][1].id if self.history else self.lost

    def forget(self, keep: int, before: float) -> None:
        """Drop the oldest events: all but `keep`, and those from before that time."""
        while self.history and (len(self.history) > keep or self.history[0][0] < before):
            self.lost = self.history.popleft()[1].id


class MemoryBroker:
    """Keeps `history` events of a topic for `history_seconds`, while it is followed or not.

    An id is the start of this broker in milliseconds and a running number, and so tells one life
    of the server from the next. A topic that nobody follows is forgotten, finished or not, when it
    has not been used for `history_seconds` or `max_topics` such topics were used since.
    """

    def __init__(
        self,
        *,
        history: int,
        history_seconds: float,
        max_topics: int,
        buffer: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history = history
        self._history_seconds = history_seconds
        self._max_topics = max_topics
        self._buffer = buffer
        self._clock = clock
        self._life = f"{time.time_ns() // 1_000_000:013}"
        self._published = 0
        self._lost = self._last_id
        self._topics: dict[str, Topic] = {}
        self._unfollowed: OrderedDict[str, Topic] = OrderedDict()

    async def publish(self, topic: str, data: bytes, name: str | None = None) -> str:
        """Implement `Broker.publish`."""
        return self._store(topic, data, name, last=False)

    async def finish(self, topic: str, data: bytes, name: str = DONE) -> str:
        """Implement `Broker.finish`."""
        return self._store(topic, data, name, last=True)

    async def is_over(self, topics: Sequence[str], last_event_id: str | None) -> bool:
        """Implement `Broker.is_over`."""
        if last_event_id is None or not self._is_known(last_event_id):
            return False
        followed = [self._topics.get(name) for name in topics]
        return all(topic and topic.finished and topic.newest <= last_event_id for topic in followed)

    @asynccontextmanager
    async def subscribe(
        self, topics: Sequence[str], last_event_id: str | None
    ) -> AsyncIterator[Subscription]:
        """Implement `Broker.subscribe`."""
        followed = {name: self._topic(name) for name in topics}
        subscription = self._subscription(followed, last_event_id)
        for name, topic in followed.items():
            topic.subscriptions.add(subscription)
            self._unfollowed.pop(name, None)
        try:
            yield subscription
        finally:
            for name, topic in followed.items():
                topic.subscriptions.discard(subscription)
                self._release(name, topic)

    async def ping(self) -> None:
        """Implement `Broker.ping`: memory always answers."""

    @property
    def _last_id(self) -> str:
        return f"{self._life}-{self._published:012}"

    def _is_known(self, id: str) -> bool:
        return bool(ID.fullmatch(id)) and id.startswith(self._life) and id <= self._last_id

    def _topic(self, name: str) -> Topic:
        """Return a topic without the events that are too old, or a new one."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(lost=self._lost)
        topic.forget(self._history, before=self._clock() - self._history_seconds)
        return topic

    def _subscription(self, followed: dict[str, Topic], last_event_id: str | None) -> Subscription:
        """Return a subscription that begins after an id, or now; nothing else holds its replay."""
        known = last_event_id is not None and self._is_known(last_event_id)
        replayed = [
            topic for topic in followed.values() if topic.finished or last_event_id is not None
        ]
        after = last_event_id if last_event_id is not None and known else ""
        replay = sorted(
            (event for topic in replayed for _, event in topic.history if event.id > after),
            key=lambda event: event.id,
        )
        reset = last_event_id not in (None, EARLIEST) and (
            not known or any(topic.lost > after for topic in followed.values())
        )
        subscription = Subscription(followed, self._buffer)
        subscription.start(
            replay,
            newest=self._last_id,
            finished=[name for name, topic in followed.items() if topic.finished],
            reset=reset,
            position=None if replay or (known and not reset) else self._last_id,
        )
        return subscription

    def _store(self, topic_name: str, data: bytes, name: str | None, *, last: bool) -> str:
        event = Event(f"{self._life}-{self._published + 1:012}", topic_name, data, name)
        topic = self._topic(topic_name)
        if topic.finished:
            raise TopicFinished(topic_name)
        self._published += 1
        topic.finished = last
        topic.history.append((self._clock(), event))
        topic.forget(self._history, before=self._clock() - self._history_seconds)
        for subscription in topic.subscriptions:
            subscription.push(event, last=last)
        self._release(topic_name, topic)
        return event.id

    def _release(self, name: str, topic: Topic) -> None:
        """Let go of `topic` if nobody follows it, and of other such topics if it is time."""
        if topic.subscriptions:
            return
        if not topic.history and not topic.finished and topic.lost <= self._lost:
            self._topics.pop(name, None)
            return
        topic.used_at = self._clock()
        self._unfollowed[name] = topic
        self._unfollowed.move_to_end(name)
        stale = topic.used_at - self._history_seconds
        oldest = next(iter(self._unfollowed.values()))
        while len(self._unfollowed) > self._max_topics or oldest.used_at < stale:
            forgotten, _ = self._unfollowed.popitem(last=False)
            del self._topics[forgotten]
            self._lost = max(self._lost, oldest.newest)
            oldest = next(iter(self._unfollowed.values()))
