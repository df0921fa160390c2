"""Brokers for the tests of the events, and settings that reach one."""

#{% if cookiecutter.event_broker == "redis" %}
from collections.abc import AsyncIterator
#{% endif %}
from typing import Protocol

import pytest

from {{ cookiecutter.__package_name }}.events.broker import Broker
#{% if cookiecutter.event_broker == "redis" %}
from {{ cookiecutter.__package_name }}.events.redis import RedisBroker
#{% else %}
from {{ cookiecutter.__package_name }}.events.memory import MemoryBroker
#{% endif %}
#{% if cookiecutter.ndjson or cookiecutter.csv %}
from {{ cookiecutter.__package_name }}.exports import Database
#{% endif %}


class MakeBroker(Protocol):
    """What the fixture `make_broker` gives."""

    def __call__(
        self, *, history: int = 1000, history_seconds: float = 3600, buffer: int = 1000
    ) -> Broker:
        """Return a broker with these limits."""


@pytest.fixture
def anyio_backend() -> str:
    """The event loop that uvicorn runs on."""
    return "asyncio"


#{% if cookiecutter.ndjson or cookiecutter.csv %}
@pytest.fixture(autouse=True)
def no_sample_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save the time that it takes to make rows which no test of the events reads."""
    monkeypatch.setattr(Database, "prepare", lambda database: None)


#{% endif %}
#{% if cookiecutter.event_broker == "redis" %}
@pytest.fixture
async def make_broker(redis_url: str) -> AsyncIterator[MakeBroker]:
    """A maker of brokers, which all share one server."""
    brokers: list[RedisBroker] = []

    def make(
        *, history: int = 1000, history_seconds: float = 3600, buffer: int = 1000
    ) -> RedisBroker:
        broker = RedisBroker(
            redis_url, history=history, history_seconds=history_seconds, buffer=buffer
        )
        brokers.append(broker)
        return broker

    yield make
    for broker in brokers:
        await broker.close()
#{% else %}
@pytest.fixture
async def make_broker() -> MakeBroker:
    """A maker of brokers."""

    def make(
        *, history: int = 1000, history_seconds: float = 3600, buffer: int = 1000
    ) -> MemoryBroker:
        return MemoryBroker(
            history=history, history_seconds=history_seconds, max_topics=1000, buffer=buffer
        )

    return make
#{% endif %}


@pytest.fixture
async def broker(make_broker: MakeBroker) -> Broker:
    """A broker that nothing was published to."""
    return make_broker()
