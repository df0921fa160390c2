"""The broker in memory: expiry, eviction and the check for one process."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from anyio import run
from fastapi import FastAPI
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st

from streaming_api.settings import Settings
from streaming_api.streaming.events.broker import EARLIEST
from streaming_api.streaming.events.memory import (
    TOPIC_BYTES,
    MemoryBroker,
    open_broker,
    require_one_worker,
)
from streaming_api.streaming.events.wire import Event

from .conftest import LIMITS
from .subscriptions import numbers

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that tests advance."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def make_broker(**limits: Any) -> MemoryBroker:
    """Return a broker that keeps ten events for a minute, unless `limits` are others."""
    return MemoryBroker(**LIMITS | {"history": 10, "history_seconds": 60, "buffer": 10} | limits)


@pytest.fixture
def clock() -> Clock:
    """The clock of the broker."""
    return Clock()


@pytest.fixture
def broker(clock: Clock) -> MemoryBroker:
    """A broker that keeps ten events for a minute."""
    return make_broker(clock=clock)


async def replay(broker: MemoryBroker, topic: str, last_event_id: str) -> tuple[list[int], bool]:
    """Return the numbers that a subscription starts with, and whether it is a reset."""
    async with broker.subscribe([topic], last_event_id) as subscription:
        return numbers(subscription.take()), subscription.reset


async def test_old_events_expire(broker: MemoryBroker, clock: Clock) -> None:
    first = await broker.publish("a", 1)
    clock.now += 40
    second = await broker.publish("a", 2)
    third = await broker.publish("a", 3)
    clock.now += 40

    assert await replay(broker, "a", EARLIEST) == ([2, 3], False)
    assert await replay(broker, "a", first) == ([2, 3], False)
    clock.now += 40
    assert await replay(broker, "a", second) == ([], True)
    assert await replay(broker, "a", third) == ([], False)


async def test_oldest_events_of_all_topics_are_evicted_first() -> None:
    size = Event("", "", b"1").size
    broker = make_broker(history_bytes=3 * size + 3 * TOPIC_BYTES)
    first = await broker.publish("a", 1)
    second = await broker.publish("b", 2)
    await broker.publish("c", 3)
    await broker.publish("a", 4)

    assert await replay(broker, "a", EARLIEST) == ([4], False)
    assert await replay(broker, "a", first) == ([4], False)
    assert await replay(broker, "b", EARLIEST) == ([2], False)
    await broker.publish("c", 5)
    assert await replay(broker, "a", second) == ([4], False)
    assert await replay(broker, "b", first) == ([], True)
    assert await replay(broker, "c", first) == ([3, 5], False)


async def test_event_that_exceeds_the_bytes_is_delivered() -> None:
    broker = make_broker(history_bytes=1000)
    async with broker.subscribe(["a"], None) as subscription:
        id = await broker.publish("a", "x" * 1000)

        assert len(subscription.take()) == 1
    assert await replay(broker, "a", EARLIEST) == ([], False)
    assert await replay(broker, "a", id) == ([], False)
    assert not broker._bytes


async def test_many_topics_take_limited_memory() -> None:
    broker = make_broker(history_bytes=2**20)

    for number in range(10_000):
        await broker.publish(f"user-{number}", "x" * 1000)

    size = TOPIC_BYTES + Event("", "", b"x" * 1002).size
    assert len(broker._topics) == len(broker._events) == 2**20 // size


async def test_topic_expires_with_its_events(broker: MemoryBroker, clock: Clock) -> None:
    first = await broker.publish("a", 1)
    clock.now += 61

    second = await broker.publish("b", 2)

    assert list(broker._topics) == ["b"]
    assert await replay(broker, "a", first) == ([], False)
    assert await replay(broker, "b", second) == ([], False)


async def test_topic_with_subscriber_outlives_its_events(
    broker: MemoryBroker, clock: Clock
) -> None:
    first = await broker.publish("a", 1)
    async with broker.subscribe(["a"], None) as subscription:
        await broker.finish("a", 2)
        clock.now += 61
        await broker.publish("b", 3)

        assert list(broker._topics) == ["a", "b"]
        assert numbers(subscription.take()) == [2]
        assert not subscription.is_open
        assert await replay(broker, "a", first) == ([], True)
    assert list(broker._topics) == ["b"]


async def test_finished_topic_expires(broker: MemoryBroker, clock: Clock) -> None:
    done = await broker.finish("a", 1)
    assert await broker.is_over(["a"], done)
    clock.now += 61

    await broker.publish("b", 2)

    assert not await broker.is_over(["a"], done)
    await broker.publish("a", 3)


async def test_finished_topic_is_known_without_history() -> None:
    broker = make_broker(history=0)
    await broker.publish("a", 1)
    done = await broker.finish("a", 2)

    assert await broker.is_over(["a"], done)
    assert await replay(broker, "a", EARLIEST) == ([2], False)


async def test_topic_without_events_takes_no_memory(broker: MemoryBroker) -> None:
    await broker.publish("a", 1)

    for number in range(100):
        async with broker.subscribe([f"silent-{number}"], None):
            pass
    with pytest.raises(ValueError, match="expected one line"):
        await broker.publish("bad", 2, "two\nlines")

    assert list(broker._topics) == ["a"]


async def test_id_of_another_process_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = iter([1_764_000_000_000_000_000, 1_764_000_000_001_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(starts))
    earlier, later = (make_broker() for _ in range(2))
    old = await earlier.publish("a", 1)
    new = await later.publish("a", 2)

    assert old < new
    assert await replay(later, "a", old) == ([2], True)
    assert await replay(earlier, "a", new) == ([1], True)


async def test_id_of_process_that_started_at_the_same_time_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_764_000_000_000_000_000)
    one, other = (make_broker() for _ in range(2))
    id = await one.publish("a", 1)
    await other.publish("a", 2)

    assert await replay(other, "a", id) == ([2], True)


async def test_future_id_is_unknown(broker: MemoryBroker) -> None:
    id = await broker.finish("a", 1)
    future = f"{id[:-1]}9"

    assert await replay(broker, "a", future) == ([1], True)
    assert not await broker.is_over(["a"], future)


@configured(deadline=None)
@given(st.text() | st.text("0123456789-", min_size=26, max_size=26))
def test_topic_is_over_for_issued_ids_only(id: str) -> None:
    async def finish() -> tuple[str, bool]:
        broker = make_broker()
        last = await broker.finish("news", 1)
        return last, await broker.is_over(["news"], id)

    last, is_over = run(finish)
    assert is_over is (id == last)


async def test_failed_subscription_stops_no_other(broker: MemoryBroker) -> None:
    async with broker.subscribe(["a"], None) as failed, broker.subscribe(["a"], None) as other:
        failed.fail(ConnectionError())
        await broker.publish("a", 1)

        with pytest.raises(ConnectionError):
            failed.take()
        assert numbers(other.take()) == [1]


def test_script_cannot_open_the_broker(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        open_broker(settings)

    message = capsys.readouterr().err
    assert message.startswith("Events of a script reach no subscriber: ")
    assert message.count("\n") == 1
    assert exit_info.value.code != 0


def start_with(monkeypatch: pytest.MonkeyPatch, command: str, environment: dict[str, str]) -> None:
    """Let this process seem to be started with `command`."""
    for name in ("UVICORN_WORKERS", "WEB_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", command.split())


@pytest.mark.parametrize(
    ("command", "environment"),
    [
        ("bin/uvicorn --port 1 --workers 2 app", {}),
        ("uvicorn/__main__.py app --workers=2", {"WEB_CONCURRENCY": "1"}),
        ("bin/uvicorn app", {"WEB_CONCURRENCY": "2"}),
        ("bin/uvicorn app", {"UVICORN_WORKERS": "2", "WEB_CONCURRENCY": "1"}),
        ("bin/gunicorn --worker-class asgi -w 2 app", {}),
        ("gunicorn/__main__.py -w2 app", {}),
        ("bin/gunicorn app", {"WEB_CONCURRENCY": "2"}),
        ("bin/fastapi run --workers 2", {}),
    ],
)
def test_application_exits_with_several_workers(
    create_app: Callable[[Settings], FastAPI],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    environment: dict[str, str],
) -> None:
    start_with(monkeypatch, command, environment)

    with pytest.raises(SystemExit) as exit_info:
        create_app(settings)

    message = capsys.readouterr().err
    assert message.startswith("Invalid number of workers 2 ")
    assert message.count("\n") == 1
    assert exit_info.value.code == 3, "uvicorn and gunicorn would start the worker again"


@pytest.mark.parametrize(
    ("command", "environment"),
    [
        ("bin/uvicorn app", {}),
        ("bin/uvicorn app", {"WEB_CONCURRENCY": "1"}),
        ("bin/uvicorn app --workers 1", {"WEB_CONCURRENCY": "2"}),
        ("bin/gunicorn --worker-connections 2 app", {}),
        ("bin/pytest --workers 2", {}),
        ("pytest/__main__.py", {"WEB_CONCURRENCY": "2"}),
        ("bin/streaming-api serve", {"WEB_CONCURRENCY": "2"}),
    ],
)
def test_server_with_one_worker_is_accepted(
    monkeypatch: pytest.MonkeyPatch, command: str, environment: dict[str, str]
) -> None:
    start_with(monkeypatch, command, environment)

    require_one_worker()


def test_number_of_workers_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    start_with(monkeypatch, "bin/uvicorn app --workers 2", {})

    require_one_worker(1)
