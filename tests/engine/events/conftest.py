"""Brokers for the tests of events."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from streaming_api.streaming.events.broker import Broker

from ..variant import REDIS

if REDIS:
    from streaming_api.streaming.events.redis import RedisBroker
else:
    from streaming_api.streaming.events.memory import MemoryBroker


class MakeBroker(Protocol):
    """The type of the fixture `make_broker`."""

    def __call__(
        self, *, history: int = 1000, history_seconds: float = 3600, buffer: int = 1000
    ) -> Broker:
        """Return a new broker with these limits."""


@pytest.fixture
async def make_broker(request: pytest.FixtureRequest) -> AsyncIterator[MakeBroker]:
    """A function that returns a new broker; those of Redis share one server."""
    brokers: list[Broker] = []
    redis_url: str = request.getfixturevalue("redis_url") if REDIS else ""

    def make(*, history: int = 1000, history_seconds: float = 3600, buffer: int = 1000) -> Broker:
        broker: Broker
        if REDIS:
            broker = RedisBroker(
                redis_url, history=history, history_seconds=history_seconds, buffer=buffer
            )
        else:
            broker = MemoryBroker(
                history=history, history_seconds=history_seconds, max_topics=1000, buffer=buffer
            )
        brokers.append(broker)
        return broker

    yield make
    for broker in brokers:
        await broker.close()


@pytest.fixture
async def broker(make_broker: MakeBroker) -> Broker:
    """A broker without events."""
    return make_broker()
