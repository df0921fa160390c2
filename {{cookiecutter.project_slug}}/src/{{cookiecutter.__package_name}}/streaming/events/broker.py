"""What brokers have in common: checking and encoding of what is published."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

from .subscription import Subscription
from .wire import DONE, Payload, encode_json, encode_payload, require_topic

EARLIEST = "earliest"
"""The `Last-Event-ID` before the oldest event in history."""


class TopicFinished(Exception):
    """The topic is finished; nothing can be published to it."""


class Broker(ABC):
    """Publishes, stores and delivers events. Ids are opaque, unique and ordered as text.

    `async with broker` closes it at the end.
    """

    _home: tuple[asyncio.AbstractEventLoop, int] | None = None

    async def __aenter__(self) -> Self:
        self._home = asyncio.get_running_loop(), threading.get_ident()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Release the resources of the broker."""
        self._home = None

    async def publish(self, topic: str, value: Any, name: str | None = None) -> str:
        """Publish `value` to the subscribers of `topic`; return the id of the event.

        `value` is anything that FastAPI can return: models, dataclasses, dicts, dates. Raises
        `ValueError` for an invalid topic, name or value, and `TopicFinished`; nothing is stored.
        """
        (id,) = await self.publish_all(topic, [encode_payload(value, name)])
        return id

    async def publish_all(self, topic: str, payloads: Sequence[Payload]) -> list[str]:
        """Publish several events, all or none; return their ids. Raises as `publish` does."""
        require_topic(topic)
        return await self._store(topic, payloads, last=False)

    def publish_from_thread(self, topic: str, value: Any, name: str | None = None) -> str:
        """Publish as `publish` does, in sync code: in a `def` route or any other thread.

        Raises `RuntimeError` on the thread of the event loop, which must not wait for itself.
        """
        if self._home is None:
            raise RuntimeError("The broker is closed: the service is not running.")
        loop, thread = self._home
        if thread == threading.get_ident():
            raise RuntimeError("This is the event loop: use `await broker.publish(...)`.")
        publishing = self.publish_all(topic, [encode_payload(value, name)])
        (id,) = asyncio.run_coroutine_threadsafe(publishing, loop).result()
        return id

    async def finish(self, topic: str, value: Any, name: str = DONE) -> str:
        """Publish the last event of `topic`, which ends its streams. Raises as `publish` does."""
        require_topic(topic)
        (id,) = await self._store(topic, [Payload(encode_json(value), name)], last=True)
        return id

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
    async def _store(self, topic: str, payloads: Sequence[Payload], *, last: bool) -> list[str]:
        """Store and deliver events, all or none; return their ids. Raises `TopicFinished`."""
