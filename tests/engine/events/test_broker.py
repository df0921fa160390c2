"""What every broker promises, whatever carries its events."""

import gc
import weakref
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from itertools import count

import pytest
from anyio import fail_after, move_on_after
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st

from {{ cookiecutter.__package_name }}.events.broker import (
    EARLIEST,
    Broker,
    TopicFinished,
)
from {{ cookiecutter.__package_name }}.events.subscription import Subscription
from {{ cookiecutter.__package_name }}.events.wire import DONE, Event
from {{ cookiecutter.__package_name }}.streaming import SlowReader

from .conftest import MakeBroker

pytestmark = pytest.mark.anyio

PATIENCE = 10.0
"""Seconds after which a test that waits for an event has failed."""


async def publish(broker: Broker, topic: str, *numbers: int) -> list[str]:
    return [await broker.publish(topic, b"%d" % number) for number in numbers]


async def take(subscription: Subscription, amount: int) -> list[Event]:
    """Return the next `amount` events; fails when more or fewer come."""
    events: list[Event] = []
    with fail_after(PATIENCE):
        while len(events) < amount:
            events += await subscription.next()
    assert len(events) == amount
    return events


async def take_until_cut_off(subscription: Subscription) -> list[Event]:
    """Return the events up to the one that did not fit into the buffer."""
    events: list[Event] = []
    with fail_after(PATIENCE):
        while True:
            try:
                events += await subscription.next()
            except SlowReader:
                return events


def numbers(events: Sequence[Event]) -> list[int]:
    return [int(event.data) for event in events]


async def test_ids_are_unique_and_ordered(broker: Broker) -> None:
    ids = [id for topic in "abab" for id in await publish(broker, topic, *range(30))]

    assert ids == sorted(set(ids))


async def test_an_event_arrives_as_it_was_published(broker: Broker) -> None:
    async with broker.subscribe(["a"], None) as subscription:
        id = await broker.publish("a", b'{"n":1}', "tick")

        assert await take(subscription, 1) == [Event(id, "a", b'{"n":1}', "tick")]


async def test_everyone_gets_every_event_in_order(broker: Broker) -> None:
    async with broker.subscribe(["a"], None) as one, broker.subscribe(["a"], None) as other:
        await publish(broker, "a", *range(100))

        assert numbers(await take(one, 100)) == numbers(await take(other, 100)) == [*range(100)]


async def test_a_subscription_carries_its_own_topics_only(broker: Broker) -> None:
    async with broker.subscribe(["a", "b"], None) as subscription:
        for number, topic in enumerate("axbxab"):
            await publish(broker, topic, number)

        assert numbers(await take(subscription, 4)) == [0, 2, 4, 5]


async def test_without_an_id_a_stream_starts_now(broker: Broker) -> None:
    await publish(broker, "a", 1)

    async with broker.subscribe(["a"], None) as subscription:
        await publish(broker, "a", 2)

        assert numbers(await take(subscription, 1)) == [2]
    assert not subscription.reset


async def test_without_an_id_a_finished_topic_is_replayed(broker: Broker) -> None:
    await publish(broker, "a", 1, 2)
    await broker.finish("a", b"3")

    async with broker.subscribe(["a"], None) as subscription:
        events = await take(subscription, 3)

    assert numbers(events) == [1, 2, 3]
    assert events[-1].name == DONE
    assert not subscription.reset


async def test_earliest_starts_with_the_oldest_event_in_history(broker: Broker) -> None:
    await publish(broker, "a", 1, 2)

    async with broker.subscribe(["a"], EARLIEST) as subscription:
        await publish(broker, "a", 3)

        assert numbers(await take(subscription, 3)) == [1, 2, 3]
    assert not subscription.reset


async def test_an_id_resumes_right_after_its_event(broker: Broker) -> None:
    ids = await publish(broker, "a", *range(5))

    async with broker.subscribe(["a"], ids[2]) as subscription:
        await publish(broker, "a", 5)

        assert numbers(await take(subscription, 3)) == [3, 4, 5]
    assert not subscription.reset


async def test_one_id_resumes_all_topics(broker: Broker) -> None:
    ids = [id for n, topic in enumerate("abcabc") for id in await publish(broker, topic, n)]

    async with broker.subscribe(["a", "b"], ids[1]) as subscription:
        events = await take(subscription, 2)

    assert numbers(events) == [3, 4]
    assert not subscription.reset


async def test_history_keeps_the_newest_events(make_broker: MakeBroker) -> None:
    broker = make_broker(history=3)
    await publish(broker, "a", *range(10))

    async with broker.subscribe(["a"], EARLIEST) as subscription:
        assert numbers(await take(subscription, 3)) == [7, 8, 9]


@pytest.mark.parametrize(("last_seen", "reset"), [(0, True), (5, True), (6, False), (9, False)])
async def test_a_hole_in_history_is_a_reset(
    make_broker: MakeBroker, last_seen: int, reset: bool
) -> None:
    broker = make_broker(history=3)
    ids = await publish(broker, "a", *range(10))

    async with broker.subscribe(["a"], ids[last_seen]) as subscription:
        await publish(broker, "a", 10)
        left = [number for number in [7, 8, 9, 10] if number > last_seen]

        assert numbers(await take(subscription, len(left))) == left
    assert subscription.reset is reset


async def test_a_subscription_that_goes_on_holds_nothing_that_was_taken(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker(history=1)
    await publish(broker, "a", 0)

    async with broker.subscribe(["a"], EARLIEST) as subscription:
        replayed = [weakref.ref(event) for event in await take(subscription, 1)]
        await publish(broker, "a", 1)  # which takes its place in history
        await take(subscription, 1)
        gc.collect()

        assert [reference() for reference in replayed] == [None]


async def test_a_hole_in_one_of_several_topics_is_a_reset(make_broker: MakeBroker) -> None:
    broker = make_broker(history=2)
    first, *_ = await publish(broker, "a", 1)
    await publish(broker, "b", 2, 3, 4)

    async with broker.subscribe(["a", "b"], first) as subscription:
        assert numbers(await take(subscription, 2)) == [3, 4]
    assert subscription.reset


async def test_without_history_events_are_still_delivered(make_broker: MakeBroker) -> None:
    broker = make_broker(history=0)

    async with broker.subscribe(["a"], None) as subscription:
        ids = await publish(broker, "a", 1, 2)

        assert numbers(await take(subscription, 2)) == [1, 2]
    async with broker.subscribe(["a"], ids[0]) as subscription:
        assert subscription.reset
    async with broker.subscribe(["a"], ids[1]) as subscription:
        assert not subscription.reset


UNKNOWN_IDS = [
    pytest.param("", id="empty"),
    pytest.param("nonsense", id="malformed"),
    pytest.param("1-1", id="short"),
    pytest.param("\N{ARABIC-INDIC DIGIT ONE}" * 13 + "-000000000001", id="other-digits"),
    pytest.param("9" * 5000, id="long"),
    pytest.param("1000000000000-000000000001", id="another-life"),
    pytest.param("9999999999999-999999999999", id="the-future"),
]


@pytest.mark.parametrize("last_event_id", UNKNOWN_IDS)
async def test_an_unknown_id_is_a_reset_and_all_of_history(
    broker: Broker, last_event_id: str
) -> None:
    await publish(broker, "a", 1, 2)

    async with broker.subscribe(["a"], last_event_id) as subscription:
        assert numbers(await take(subscription, 2)) == [1, 2]
    assert subscription.reset


@pytest.mark.parametrize("last_event_id", UNKNOWN_IDS)
async def test_an_unknown_id_has_seen_nothing(broker: Broker, last_event_id: str) -> None:
    await broker.finish("a", b"1")

    assert not await broker.is_over(["a"], last_event_id)


async def test_a_client_without_an_event_resumes_at_its_position(broker: Broker) -> None:
    await publish(broker, "a", 1)
    async with broker.subscribe(["a"], None) as subscription:
        position = subscription.position
    await publish(broker, "a", 2)

    async with broker.subscribe(["a"], position) as subscription:
        assert numbers(await take(subscription, 1)) == [2]
    assert not subscription.reset


@pytest.mark.parametrize("last_event_id", [None, EARLIEST, "nonsense"])
async def test_a_position_on_a_silent_topic_can_be_resumed(
    broker: Broker, last_event_id: str | None
) -> None:
    async with broker.subscribe(["a"], last_event_id) as subscription:
        position = subscription.position
    await publish(broker, "a", 1)

    async with broker.subscribe(["a"], position) as subscription:
        assert position is not None
        assert numbers(await take(subscription, 1)) == [1]
    assert not subscription.reset


async def test_a_client_that_resumes_keeps_its_own_position(broker: Broker) -> None:
    ids = await publish(broker, "a", 1, 2)

    for last_event_id in (EARLIEST, *ids):
        async with broker.subscribe(["a"], last_event_id) as subscription:
            assert subscription.position is None


async def test_a_hole_without_events_is_reported_once(make_broker: MakeBroker) -> None:
    broker = make_broker(history=0)
    first, *_ = await publish(broker, "a", 1, 2)
    async with broker.subscribe(["a"], first) as subscription:
        position = subscription.position
        assert subscription.reset

    async with broker.subscribe(["a"], position) as subscription:
        assert not subscription.reset


async def test_nothing_is_published_to_a_finished_topic(broker: Broker) -> None:
    await broker.finish("a", b"1")

    with pytest.raises(TopicFinished):
        await broker.publish("a", b"2")
    with pytest.raises(TopicFinished):
        await broker.finish("a", b"2")

    async with broker.subscribe(["a"], None) as subscription:
        assert numbers(await take(subscription, 1)) == [1]
    await publish(broker, "b", 3)


async def test_a_subscription_ends_with_the_last_of_its_topics(broker: Broker) -> None:
    async with broker.subscribe(["a", "b"], None) as subscription:
        await broker.finish("a", b"1")
        assert numbers(await take(subscription, 1)) == [1]
        await publish(broker, "b", 2)
        await broker.finish("b", b"3")
        assert numbers(await take(subscription, 2)) == [2, 3]

        with fail_after(PATIENCE):
            assert not await subscription.next()


async def test_a_topic_is_over_once_its_last_event_was_seen(broker: Broker) -> None:
    published, *_ = await publish(broker, "a", 1)
    done = await broker.finish("a", b"2")
    later, *_ = await publish(broker, "b", 3)

    assert await broker.is_over(["a"], done)
    assert await broker.is_over(["a"], later)
    assert not await broker.is_over(["a"], published)
    assert not await broker.is_over(["a"], None)
    assert not await broker.is_over(["a"], EARLIEST)
    assert not await broker.is_over(["a", "b"], later)
    assert not await broker.is_over(["silent"], later)


async def test_several_topics_are_over_when_all_of_them_are(broker: Broker) -> None:
    first = await broker.finish("a", b"1")
    second = await broker.finish("b", b"2")

    assert not await broker.is_over(["a", "b"], first)
    assert await broker.is_over(["a", "b"], second)


async def test_waiting_in_vain_loses_nothing(broker: Broker) -> None:
    async with broker.subscribe(["a"], None) as subscription:
        with move_on_after(0.01) as idle:
            await subscription.next()
        await publish(broker, "a", 1, 2)

        assert idle.cancelled_caught
        assert numbers(await take(subscription, 2)) == [1, 2]


async def test_a_slow_reader_is_cut_off_and_catches_up_while_others_get_everything(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker(buffer=5)
    async with broker.subscribe(["a"], None) as slow, broker.subscribe(["a"], None) as fast:
        start = slow.position
        for number in range(20):
            await publish(broker, "a", number)
            assert numbers(await take(fast, 1)) == [number]
        seen = await take_until_cut_off(slow)

    assert numbers(seen) == [*range(len(seen))]
    assert len(seen) < 20
    last_seen = seen[-1].id if seen else start
    async with broker.subscribe(["a"], last_seen) as resumed:
        rest = await take(resumed, 20 - len(seen))
    assert numbers(rest) == [*range(len(seen), 20)]
    assert not resumed.reset


async def test_a_replay_is_as_long_as_history_whatever_the_buffer(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker(buffer=2)
    await publish(broker, "a", *range(50))

    async with broker.subscribe(["a"], EARLIEST) as subscription:
        assert numbers(await take(subscription, 50)) == [*range(50)]


async def test_a_broker_that_is_there_answers(broker: Broker) -> None:
    await broker.ping()


class Client:
    """Follows two topics as a browser does, and checks every event that it gets."""

    def __init__(self, broker: Broker, topics: Sequence[str]) -> None:
        self.broker = broker
        self.topics = topics
        self.published: list[str] = []
        """The ids on the topics, in the order of publication."""
        self.last_event_id: str | None = None
        self.missed_at_most = 0
        """The index in `published` up to which a reset excuses what is missing."""
        self.next_index = 0
        """The index in `published` of the event that has to come next."""
        self._context: AbstractAsyncContextManager[Subscription] | None = None

    async def connect(self) -> None:
        await self.disconnect()
        self._context = self.broker.subscribe(self.topics, self.last_event_id)
        self.subscription = await self._context.__aenter__()
        if self.last_event_id is None:
            self.next_index = len(self.published)
        if self.subscription.reset:
            self.missed_at_most = len(self.published)
        self.last_event_id = self.subscription.position or self.last_event_id

    async def disconnect(self) -> None:
        if self._context:
            await self._context.__aexit__(None, None, None)
            self._context = None

    async def read(self) -> None:
        if not self._context or self.next_index == len(self.published):
            return
        try:
            with fail_after(PATIENCE):
                events = await self.subscription.next()
        except SlowReader:
            await self.disconnect()
            return
        for event in events:
            index = self.published.index(event.id)
            assert index >= self.next_index, "an event came twice or out of order"
            assert index <= max(self.next_index, self.missed_at_most), "an event is lost"
            self.next_index = index + 1
            self.last_event_id = event.id


@pytest.fixture
async def small_broker(make_broker: MakeBroker) -> Broker:
    """A broker that soon forgets, and soon cuts a reader off."""
    return make_broker(history=3, buffer=4)


steps = st.lists(st.sampled_from(["publish"] * 4 + ["read"] * 2 + ["connect", "disconnect"]))
topic_numbers = count()


@given(steps=steps)
@configured(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_happens_nothing_is_lost_or_comes_twice_without_a_reset(
    small_broker: Broker, steps: list[str]
) -> None:
    topics = [f"topic-{next(topic_numbers)}" for _ in range(2)]
    client = Client(small_broker, topics)
    await client.connect()

    for number, step in enumerate(steps):
        match step:
            case "publish":
                client.published += await publish(small_broker, topics[number % 2], number)
            case "read":
                await client.read()
            case "connect":
                await client.connect()
            case "disconnect":
                await client.disconnect()
    await client.connect()
    while client.next_index < len(client.published):
        await client.read()
    await client.disconnect()
