"""Brokers for the tests of events."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest

from streaming_api.streaming.events.broker import Broker

from ..variant import REDIS

if REDIS:
    from streaming_api.streaming.events.redis import RedisBroker
else:
    from streaming_api.streaming.events.memory import MemoryBroker


LIMITS: dict[str, Any] = {
    "history": 1000,
    "history_seconds": 3600,
    "history_bytes": 2**28,
    "buffer": 1000,
}


class MakeBroker(Protocol):
    """The type of the fixture `make_broker`."""

    def __call__(
        self,
        *,
        history: int = 1000,
        history_seconds: float = 3600,
        history_bytes: int = 2**28,
        buffer: int = 1000,
    ) -> Broker:
        """Return a new broker with these limits."""


@pytest.fixture
async def make_broker(request: pytest.FixtureRequest) -> AsyncIterator[MakeBroker]:
    """A function that returns a new broker; those of Redis share one server."""
    brokers: list[Broker] = []
    redis_url: str = request.getfixturevalue("redis_url") if REDIS else ""

    def make(**limits: Any) -> Broker:
        limits = LIMITS | limits
        broker = RedisBroker(redis_url, **limits) if REDIS else MemoryBroker(**limits)
        brokers.append(broker)
        return broker

    yield make
    for broker in brokers:
        await broker.close()


@pytest.fixture
async def broker(make_broker: MakeBroker) -> Broker:
    """A broker without events."""
    return make_broker()
