"""What brokers have in common: checking and encoding of what is published."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from .subscription import Subscription
from .wire import DONE, encode_json, require_event_name, require_topic

EARLIEST = "earliest"
"""The `Last-Event-ID` before the oldest event in history."""


class TopicFinished(Exception):
    """The topic is finished; nothing can be published to it."""


class Broker(ABC):
    """Publishes, stores and delivers events. Ids are opaque, unique and ordered as text."""

    async def publish(self, topic: str, value: Any, name: str | None = None) -> str:
        """Publish `value` to the subscribers of `topic`; return the id of the event.

        `value` is anything that FastAPI can return: models, dataclasses, dicts, dates. Raises
        `ValueError` for an invalid topic, name or value, and `TopicFinished`; nothing is stored.
        """
        require_topic(topic)
        if name is not None:
            require_event_name(name)
        return await self._store(topic, encode_json(value), name, last=False)

    async def finish(self, topic: str, value: Any, name: str = DONE) -> str:
        """Publish the last event of `topic`, which ends its streams. Raises as `publish` does."""
        require_topic(topic)
        return await self._store(topic, encode_json(value), name, last=True)

    @abstractmethod
    async def is_over(self, topics: Sequence[str], last_event_id: str | None) -> bool:
        """Return whether all topics are finished and `last_event_id` is not before their ends."""

    @abstractmethod
    def subscribe(
        self, topics: Sequence[str], last_event_id: str | None
    ) -> AbstractAsyncContextManager[Subscription]:
        """Subscribe to the events after `last_event_id`.

        `None` starts now, except for finished topics, which are replayed; `EARLIEST` starts with
        the oldest event in history.
        """

    @abstractmethod
    async def ping(self) -> None:
        """Return if the broker is available. Raises its exception otherwise."""

    @abstractmethod
    async def close(self) -> None:
        """Release the resources of the broker."""

    @abstractmethod
    async def _store(self, topic: str, data: bytes, name: str | None, *, last: bool) -> str:
        """Store and deliver an event; return its id. Raises `TopicFinished`."""
