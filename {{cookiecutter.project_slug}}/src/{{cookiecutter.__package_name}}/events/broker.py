"""What the routes and the jobs ask of whatever carries the events."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from .subscription import Subscription
from .wire import DONE

EARLIEST = "earliest"
"""The `Last-Event-ID` that stands before the oldest event in history."""


class TopicFinished(Exception):
    """Nothing can be published to a topic that said it was done."""


class Broker(Protocol):
    """Publishes, remembers and delivers events. Ids are opaque, unique and ordered as text."""

    async def publish(self, topic: str, data: bytes, name: str | None = None) -> str:
        """Store an event, deliver it and return its id. Raises `TopicFinished`."""

    async def finish(self, topic: str, data: bytes, name: str = DONE) -> str:
        """Publish the last event of `topic`, which ends its streams. Raises `TopicFinished`."""

    async def is_over(self, topics: Sequence[str], last_event_id: str | None) -> bool:
        """Tell whether all topics are finished and a client has seen the last event of each."""

    def subscribe(
        self, topics: Sequence[str], last_event_id: str | None
    ) -> AbstractAsyncContextManager[Subscription]:
        """Subscribe from right after `last_event_id`.

        `None` starts now, except on a finished topic, which is replayed; `EARLIEST` starts with
        the oldest event in history.
        """

    async def ping(self) -> None:
        """Return when the broker answers; raise what is wrong otherwise."""
