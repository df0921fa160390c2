"""Brokers and runs for the tests of events."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from streaming_api.streaming.events.broker import Broker
from streaming_api.streaming.events.runs import Runs
from streaming_api.streaming.registry import Streams

from ..variant import REDIS

if REDIS:
    from streaming_api.streaming.events.redis import RedisBroker
    from streaming_api.streaming.events.redis_runs import RedisRuns
else:
    from streaming_api.streaming.events.memory import MemoryBroker, MemoryRuns


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


class MakeRuns(Protocol):
    """The type of the fixture `make_runs`."""

    async def __call__(
        self,
        *,
        max_runs: int = 1000,
        max_per_client: int = 20,
        retention: float = 3600,
        grace: float = 0,
    ) -> Runs:
        """Return the runs of a new process with these limits."""


@pytest.fixture
async def make_runs(broker: Broker) -> AsyncIterator[MakeRuns]:
    """A function that returns the runs of a new process."""
    async with AsyncExitStack() as stack:

        async def make(*, grace: float = 0, **limits: Any) -> Runs:
            streams = Streams(send_timeout=30, max_seconds=0, max_per_client=20, grace=grace)
            limits = {"max_runs": 1000, "max_per_client": 20, "retention": 3600, **limits}
            kind: Any = RedisRuns if REDIS else MemoryRuns
            runs: Runs = await stack.enter_async_context(kind(broker, streams, **limits))
            return runs

        yield make


@pytest.fixture
async def runs(make_runs: MakeRuns) -> Runs:
    """The runs of a process."""
    return await make_runs()
