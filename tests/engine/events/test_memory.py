"""What is special about the memory of one process: it forgets, and says so."""

import time
from collections.abc import Sequence

import pytest
from anyio import create_task_group, fail_after, move_on_after, run, wait_all_tasks_blocked
from hypothesis import given
from hypothesis import strategies as st

from {{ cookiecutter.__package_name }}.events.broker import EARLIEST
from {{ cookiecutter.__package_name }}.events.memory import MemoryBroker
from {{ cookiecutter.__package_name }}.events.wire import Event

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that stands still until it is told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker(clock: Clock) -> MemoryBroker:
    """A broker that remembers ten events for a minute, of two topics that nobody follows."""
    return MemoryBroker(history=10, history_seconds=60, max_topics=2, buffer=10, clock=clock)


async def replay(broker: MemoryBroker, topic: str, last_event_id: str) -> tuple[list[bytes], bool]:
    """Return the data that a subscription starts with, and whether it is a reset."""
    events: Sequence[Event] = ()
    async with broker.subscribe([topic], last_event_id) as subscription:
        with move_on_after(0):
            events = await subscription.next()
    return [event.data for event in events], subscription.reset


async def test_events_expire(broker: MemoryBroker, clock: Clock) -> None:
    first = await broker.publish("a", b"1")
    clock.now += 40
    second = await broker.publish("a", b"2")
    third = await broker.publish("a", b"3")
    clock.now += 40

    assert await replay(broker, "a", EARLIEST) == ([b"2", b"3"], False)
    assert await replay(broker, "a", first) == ([b"2", b"3"], False)
    clock.now += 40
    assert await replay(broker, "a", second) == ([], True)
    assert await replay(broker, "a", third) == ([], False)


async def test_the_least_recently_used_topic_is_forgotten_first(broker: MemoryBroker) -> None:
    await broker.publish("a", b"1")
    await broker.publish("b", b"2")
    await broker.publish("a", b"3")
    await broker.publish("c", b"4")

    assert await replay(broker, "a", EARLIEST) == ([b"1", b"3"], False)
    assert await replay(broker, "b", EARLIEST) == ([], False)
    assert await replay(broker, "c", EARLIEST) == ([b"4"], False)


async def test_a_topic_that_was_forgotten_may_have_lost_events(broker: MemoryBroker) -> None:
    first = await broker.publish("a", b"1")
    for topic in "abc":
        await broker.publish(topic, b"2")

    assert await replay(broker, "a", first) == ([], True)


async def test_a_topic_that_is_followed_is_kept(broker: MemoryBroker) -> None:
    await broker.publish("a", b"1")
    async with broker.subscribe(["a"], None):
        for topic in "bcde":
            await broker.publish(topic, b"2")

        assert await replay(broker, "a", EARLIEST) == ([b"1"], False)
        assert await replay(broker, "b", EARLIEST) == ([], False)


async def test_a_topic_that_is_not_used_is_forgotten(broker: MemoryBroker, clock: Clock) -> None:
    first = await broker.publish("a", b"1")
    clock.now += 61

    second = await broker.publish("b", b"2")

    assert list(broker._topics) == ["b"]
    assert await replay(broker, "a", first) == ([], False)
    assert await replay(broker, "b", second) == ([], False)


async def test_followers_of_other_topics_do_not_shorten_the_memory(broker: MemoryBroker) -> None:
    async with broker.subscribe(["a", "b", "c", "d"], None):
        await broker.publish("e", b"1")

        assert await replay(broker, "e", EARLIEST) == ([b"1"], False)


async def test_a_finished_topic_is_forgotten_in_the_end(broker: MemoryBroker, clock: Clock) -> None:
    done = await broker.finish("a", b"1")
    assert await broker.is_over(["a"], done)
    clock.now += 61

    await broker.publish("b", b"2")

    assert not await broker.is_over(["a"], done)
    await broker.publish("a", b"3")


async def test_a_finished_topic_whose_events_expired_is_still_over(
    broker: MemoryBroker, clock: Clock
) -> None:
    done = await broker.finish("a", b"1")
    clock.now += 61

    async with broker.subscribe(["a"], EARLIEST) as subscription:
        assert not await subscription.next()
        assert await broker.is_over(["a"], subscription.position)
    assert await broker.is_over(["a"], done)


async def test_topics_that_were_only_asked_for_take_no_memory(broker: MemoryBroker) -> None:
    await broker.publish("a", b"1")

    for number in range(100):
        async with broker.subscribe([f"silent-{number}"], None):
            pass
    with pytest.raises(ValueError, match="not one line"):
        await broker.publish("bad", b"2", "two\nlines")

    assert list(broker._topics) == ["a"]


async def test_an_id_of_an_earlier_life_is_unknown_in_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = iter([1_764_000_000_000_000_000, 1_764_000_000_001_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(starts))
    earlier, later = (
        MemoryBroker(history=10, history_seconds=60, max_topics=2, buffer=10) for _ in range(2)
    )
    old = await earlier.publish("a", b"1")
    new = await later.publish("a", b"2")

    assert old < new
    assert await replay(later, "a", old) == ([b"2"], True)
    assert await replay(earlier, "a", new) == ([b"1"], True)


async def test_an_id_that_is_still_to_come_is_unknown(broker: MemoryBroker) -> None:
    id = await broker.finish("a", b"1")
    to_come = f"{id[:-1]}9"

    assert await replay(broker, "a", to_come) == ([b"1"], True)
    assert not await broker.is_over(["a"], to_come)


@given(st.text() | st.text("0123456789-", min_size=26, max_size=26))
def test_only_an_id_that_was_given_out_has_seen_anything(id: str) -> None:
    async def asked() -> tuple[str, bool]:
        broker = MemoryBroker(history=1, history_seconds=60, max_topics=2, buffer=1)
        last = await broker.finish("news", b"1")
        return last, await broker.is_over(["news"], id)

    last, seen = run(asked)
    assert seen is (id == last)


async def test_events_that_come_at_once_wake_a_reader_once(broker: MemoryBroker) -> None:
    received: list[int] = []

    async with broker.subscribe(["a"], None) as subscription, create_task_group() as tasks:

        async def read() -> None:
            with fail_after(10):
                received.append(len(await subscription.next()))

        tasks.start_soon(read)
        await wait_all_tasks_blocked()
        await broker.publish("a", b"1")
        await broker.publish("a", b"2")

    assert received == [2]
