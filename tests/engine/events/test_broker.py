"""The contract of every broker."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

import pytest
from anyio import create_task_group, fail_after, sleep, to_thread
from pydantic import BaseModel

from streaming_api.streaming.events import broker as module
from streaming_api.streaming.events.broker import EARLIEST, Broker, TopicFinished
from streaming_api.streaming.events.subscription import Subscription
from streaming_api.streaming.events.wire import (
    DONE,
    HEARTBEAT,
    RESERVED_NAMES,
    Event,
    Payload,
    encode_payload,
)
from streaming_api.streaming.registry import SlowReader

from .conftest import MakeBroker
from .subscriptions import TIMEOUT, next_events, numbers, publish, take

pytestmark = pytest.mark.anyio


class Order(BaseModel):
    """A value as routes return it."""

    number: UUID
    price: Decimal
    due: date


@dataclass
class Line:
    """A value of the standard library, with one of pydantic inside."""

    order: Order
    amount: int


class Name(str):
    """A text, like a name of SQLAlchemy."""


class Rate(float):
    """A number, like one of NumPy."""


ORDER = Order(number=UUID(int=1), price=Decimal("1.50"), due=date(2026, 7, 1))
ORDER_JSON = b'{"number":"00000000-0000-0000-0000-000000000001","price":"1.50","due":"2026-07-01"}'

CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


async def take_all(subscription: Subscription) -> list[Event]:
    """Return all events of a subscription that fails with `SlowReader`."""
    events: list[Event] = []
    while True:
        try:
            events += await next_events(subscription)
        except SlowReader:
            return events


async def test_ids_of_all_topics_are_unique_and_ordered(broker: Broker) -> None:
    ids = [id for topic in "abab" for id in await publish(broker, topic, *range(30))]

    assert ids == sorted(set(ids))


async def test_event_is_delivered_as_published(broker: Broker) -> None:
    async with broker.subscribe(["a"], None) as subscription:
        id = await broker.publish("a", {"n": 1}, "tick")

        assert await take(subscription, 1) == [Event(id, "a", b'{"n":1}', "tick")]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        pytest.param(ORDER, ORDER_JSON, id="model"),
        pytest.param(Line(ORDER, 2), b'{"order":' + ORDER_JSON + b',"amount":2}', id="dataclass"),
        pytest.param({"orders": [ORDER]}, b'{"orders":[' + ORDER_JSON + b"]}", id="dict"),
        pytest.param(date(2026, 7, 1), b'"2026-07-01"', id="date"),
        pytest.param(UUID(int=1), b'"00000000-0000-0000-0000-000000000001"', id="uuid"),
        pytest.param(Decimal("1.50"), b'"1.50"', id="decimal"),
        pytest.param(
            {"name": Name("ada"), "rate": Rate(1.5)}, b'{"name":"ada","rate":1.5}', id="subclass"
        ),
        pytest.param({None: 1, True: 2}, b'{"null":1,"true":2}', id="keys"),
        pytest.param("two\nlines\u2028", rb'"two\nlines\u2028"', id="text"),
        pytest.param(None, b"null", id="none"),
    ],
)
async def test_publish_any_returnable_value_stores_json(
    broker: Broker, value: object, data: bytes
) -> None:
    await broker.publish("a", value)
    await broker.finish("a", value)

    async with broker.subscribe(["a"], None) as subscription:
        assert [event.data for event in await take(subscription, 2)] == [data, data]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(object(), "not iterable", id="object"),
        pytest.param({"nested": [object()]}, "not iterable", id="nested-object"),
        pytest.param({(1, 2): 3}, "Invalid event data", id="key"),
        pytest.param(CIRCLE, "Invalid event data: maximum recursion depth", id="recursive"),
        pytest.param("\ud800", "surrogates not allowed", id="surrogate"),
        pytest.param({"\ud800": 1}, "surrogates not allowed", id="surrogate-key"),
        pytest.param(10**5000, "Exceeds the limit", id="huge"),
    ],
)
async def test_publish_unserializable_value_stores_nothing(
    broker: Broker, value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        await broker.publish("a", value)
    with pytest.raises(ValueError, match=message):
        await broker.finish("a", value)

    assert await stored(broker, "a") == []


@pytest.mark.parametrize(
    "name",
    [*sorted(RESERVED_NAMES), "", "two\nlines", "a\x1b[2J", "a\u2028b", "\ud800"],
    ids=ascii,
)
async def test_publish_invalid_event_name_stores_nothing(broker: Broker, name: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid event name|surrogates not allowed"):
        await broker.publish("a", 1, name)

    assert await stored(broker, "a") == []


@pytest.mark.parametrize("topic", ["", "x" * 129, "a b", "a\n", "é", "a*"], ids=ascii)
async def test_publish_invalid_topic_is_value_error(broker: Broker, topic: str) -> None:
    with pytest.raises(ValueError, match="Invalid topic"):
        await broker.publish(topic, 1)
    with pytest.raises(ValueError, match="Invalid topic"):
        await broker.finish(topic, 1)


async def test_publish_encodes_once_for_all_subscribers(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[object] = []

    def observe(value: object, name: str | None) -> Payload:
        encoded.append(value)
        return encode_payload(value, name)

    monkeypatch.setattr(module, "encode_payload", observe)

    async with broker.subscribe(["a"], None) as one, broker.subscribe(["a", "b"], None) as other:
        await broker.publish("a", 1)
        (first,), (second,) = await take(one, 1), await take(other, 1)

    assert encoded == [1]
    assert first is second


async def test_publish_all_stores_events_in_order(broker: Broker) -> None:
    async with broker.subscribe(["a"], None) as subscription:
        ids = await broker.publish_all("a", [Payload(b"1", None), Payload(b"2", "tick")])

        assert await take(subscription, 2) == [
            Event(ids[0], "a", b"1"),
            Event(ids[1], "a", b"2", "tick"),
        ]
    assert ids == sorted(ids)


async def test_publish_all_to_finished_topic_stores_nothing(broker: Broker) -> None:
    await broker.finish("a", 1)

    with pytest.raises(TopicFinished):
        await broker.publish_all("a", [Payload(b"2", None)] * 3)

    assert numbers(await stored(broker, "a")) == [1]


async def test_publish_all_is_one_sequence_beside_others(broker: Broker) -> None:
    async with create_task_group() as tasks:
        for number in b"123":
            tasks.start_soon(broker.publish_all, "a", [Payload(b"%c" % number, None)] * 20)

    found = numbers(await stored(broker, "a"))
    assert sorted(found) == [1] * 20 + [2] * 20 + [3] * 20
    assert len(list(groupby(found))) == 3


async def test_publish_from_thread_returns_id(broker: Broker) -> None:
    async with broker, broker.subscribe(["a"], None) as subscription:
        id = await to_thread.run_sync(broker.publish_from_thread, "a", ORDER, "placed")

        assert await take(subscription, 1) == [Event(id, "a", ORDER_JSON, "placed")]


async def test_publish_from_thread_raises_as_publish_does(broker: Broker) -> None:
    await broker.finish("a", 1)

    async with broker:
        with pytest.raises(TopicFinished):
            await to_thread.run_sync(broker.publish_from_thread, "a", 2)
        with pytest.raises(ValueError, match="Invalid topic"):
            await to_thread.run_sync(broker.publish_from_thread, "a b", 2)
        with pytest.raises(ValueError, match="Invalid event name"):
            await to_thread.run_sync(broker.publish_from_thread, "a", 2, DONE)


async def test_publish_from_thread_of_the_loop_raises(broker: Broker) -> None:
    async with broker:
        with pytest.raises(RuntimeError, match=r"use `await broker.publish\(...\)`"):
            broker.publish_from_thread("a", 1)


async def test_publish_from_thread_to_closed_broker_raises(broker: Broker) -> None:
    async with broker:
        pass

    with pytest.raises(RuntimeError, match="The broker is closed"):
        await to_thread.run_sync(broker.publish_from_thread, "a", 1)


BURST = 600
"""Three times as many events as a buffer holds."""


async def publish_in_a_loop(broker: Broker) -> None:
    await publish(broker, "a", *range(BURST))


async def publish_at_the_same_time(broker: Broker) -> None:
    await asyncio.gather(*(broker.publish("a", number) for number in range(BURST)))


async def publish_in_a_thread(broker: Broker) -> None:
    def publish() -> None:
        for number in range(BURST):
            broker.publish_from_thread("a", number)

    await to_thread.run_sync(publish)


async def publish_batches(broker: Broker) -> None:
    for start in range(0, BURST, 100):
        batch = [Payload(b"%d" % number, None) for number in range(start, start + 100)]
        await broker.publish_all("a", batch)


@pytest.mark.parametrize(
    "publish_many",
    [publish_in_a_loop, publish_at_the_same_time, publish_in_a_thread, publish_batches],
)
async def test_fast_subscription_has_every_event_of_a_burst(
    make_broker: MakeBroker, publish_many: Callable[[Broker], Awaitable[None]]
) -> None:
    broker = make_broker(buffer=BURST // 3)
    received: list[Event] = []

    async def receive(subscription: Subscription) -> None:
        while len(received) < BURST:
            received.extend(await next_events(subscription))

    async with (
        broker,
        broker.subscribe(["a"], None) as fast,
        broker.subscribe(["a"], None) as stalled,
        create_task_group() as tasks,
    ):
        tasks.start_soon(receive, fast)
        await publish_many(broker)

    received.sort(key=lambda event: int(event.data))
    assert numbers(received) == [*range(BURST)]
    assert len(await take_all(stalled)) < BURST


async def test_large_events_leave_time_for_fast_subscriptions(broker: Broker) -> None:
    received: list[int] = []

    async def receive(subscription: Subscription) -> None:
        while len(received) < 30:
            received.extend(len(event.data) for event in await next_events(subscription))

    async with (
        broker.subscribe(["a"], None) as subscription,
        create_task_group() as tasks,
    ):
        tasks.start_soon(receive, subscription)
        for _ in range(30):
            await broker.publish("a", "x" * 2_000_000)

    assert received == [2_000_002] * 30


async def test_every_subscription_has_all_events_in_order(broker: Broker) -> None:
    async with broker.subscribe(["a"], None) as one, broker.subscribe(["a"], None) as other:
        await publish(broker, "a", *range(100))

        assert numbers(await take(one, 100)) == numbers(await take(other, 100)) == [*range(100)]


async def test_subscription_has_events_of_its_topics(broker: Broker) -> None:
    async with broker.subscribe(["a", "b"], None) as subscription:
        for number, topic in enumerate("axbxab"):
            await publish(broker, topic, number)

        assert numbers(await take(subscription, 4)) == [0, 2, 4, 5]


async def test_subscription_without_id_starts_now(broker: Broker) -> None:
    await publish(broker, "a", 1)

    async with broker.subscribe(["a"], None) as subscription:
        await publish(broker, "a", 2)

        assert numbers(await take(subscription, 1)) == [2]
    assert not subscription.reset


async def test_subscription_without_id_replays_finished_topic(broker: Broker) -> None:
    await publish(broker, "a", 1, 2)
    await broker.finish("a", 3)

    async with broker.subscribe(["a"], None) as subscription:
        events = await take(subscription, 3)

    assert numbers(events) == [1, 2, 3]
    assert events[-1].name == DONE
    assert not subscription.reset


async def test_earliest_replays_all_of_history(broker: Broker) -> None:
    await publish(broker, "a", 1, 2)

    async with broker.subscribe(["a"], EARLIEST) as subscription:
        await publish(broker, "a", 3)

        assert numbers(await take(subscription, 3)) == [1, 2, 3]
    assert not subscription.reset


async def test_id_resumes_after_its_event(broker: Broker) -> None:
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


async def test_history_keeps_newest_events(make_broker: MakeBroker) -> None:
    broker = make_broker(history=3)
    await publish(broker, "a", *range(10))

    async with broker.subscribe(["a"], EARLIEST) as subscription:
        assert numbers(await take(subscription, 3)) == [7, 8, 9]


@pytest.mark.parametrize(("last_seen", "reset"), [(0, True), (5, True), (6, False), (9, False)])
async def test_gap_in_history_is_reset(
    make_broker: MakeBroker, last_seen: int, reset: bool
) -> None:
    broker = make_broker(history=3)
    ids = await publish(broker, "a", *range(10))

    async with broker.subscribe(["a"], ids[last_seen]) as subscription:
        await publish(broker, "a", 10)
        left = [number for number in [7, 8, 9, 10] if number > last_seen]

        assert numbers(await take(subscription, len(left))) == left
    assert subscription.reset is reset


async def test_subscription_keeps_no_reference_to_taken_events(make_broker: MakeBroker) -> None:
    broker = make_broker(history=1)
    await publish(broker, "a", 0)

    async with broker.subscribe(["a"], EARLIEST) as subscription:
        replayed = [weakref.ref(event) for event in await take(subscription, 1)]
        await publish(broker, "a", 1)  # evicts it from history
        await take(subscription, 1)
        gc.collect()

        assert [reference() for reference in replayed] == [None]


async def test_gap_in_one_of_several_topics_is_reset(make_broker: MakeBroker) -> None:
    broker = make_broker(history=2)
    first, *_ = await publish(broker, "a", 1)
    await publish(broker, "b", 2, 3, 4)

    async with broker.subscribe(["a", "b"], first) as subscription:
        assert numbers(await take(subscription, 2)) == [3, 4]
    assert subscription.reset


@pytest.mark.parametrize("seconds", [1e9, 9_999_999_999, 1e308])
async def test_history_of_any_time_is_kept(make_broker: MakeBroker, seconds: float) -> None:
    broker = make_broker(history_seconds=seconds, history=10**20, history_bytes=10**30)
    ids = await publish(broker, "a", 1, 2)

    async with broker.subscribe(["a"], ids[0]) as subscription:
        assert numbers(await take(subscription, 1)) == [2]
    assert not subscription.reset


async def test_broker_without_history_delivers_events(make_broker: MakeBroker) -> None:
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
    pytest.param("1000000000000-000000000001", id="another-start"),
    pytest.param("9999999999999-999999999999", id="future"),
]


@pytest.mark.parametrize("last_event_id", UNKNOWN_IDS)
async def test_unknown_id_is_reset_and_replays_all(broker: Broker, last_event_id: str) -> None:
    await publish(broker, "a", 1, 2)

    async with broker.subscribe(["a"], last_event_id) as subscription:
        assert numbers(await take(subscription, 2)) == [1, 2]
    assert subscription.reset


@pytest.mark.parametrize("last_event_id", UNKNOWN_IDS)
async def test_finished_topic_with_unknown_id_is_not_over(
    broker: Broker, last_event_id: str
) -> None:
    await broker.finish("a", 1)

    assert not await broker.is_over(["a"], last_event_id)


async def test_position_resumes_before_the_first_event(broker: Broker) -> None:
    await publish(broker, "a", 1)
    async with broker.subscribe(["a"], None) as subscription:
        position = subscription.position
    await publish(broker, "a", 2)

    async with broker.subscribe(["a"], position) as subscription:
        assert numbers(await take(subscription, 1)) == [2]
    assert not subscription.reset


@pytest.mark.parametrize("last_event_id", [None, EARLIEST, "nonsense"])
async def test_position_of_topic_without_events_resumes(
    broker: Broker, last_event_id: str | None
) -> None:
    async with broker.subscribe(["a"], last_event_id) as subscription:
        position = subscription.position
    await publish(broker, "a", 1)

    async with broker.subscribe(["a"], position) as subscription:
        assert position is not None
        assert numbers(await take(subscription, 1)) == [1]
    assert not subscription.reset


async def test_resumed_subscription_has_no_position(broker: Broker) -> None:
    ids = await publish(broker, "a", 1, 2)

    for last_event_id in (EARLIEST, *ids):
        async with broker.subscribe(["a"], last_event_id) as subscription:
            assert subscription.position is None


async def test_gap_without_events_is_reset_once(make_broker: MakeBroker) -> None:
    broker = make_broker(history=0)
    first, *_ = await publish(broker, "a", 1, 2)
    async with broker.subscribe(["a"], first) as subscription:
        position = subscription.position
        assert subscription.reset

    async with broker.subscribe(["a"], position) as subscription:
        assert not subscription.reset


async def test_publish_to_finished_topic_stores_nothing(broker: Broker) -> None:
    await broker.finish("a", 1)

    with pytest.raises(TopicFinished):
        await broker.publish("a", 2)
    with pytest.raises(TopicFinished):
        await broker.finish("a", 2)

    assert numbers(await stored(broker, "a")) == [1]
    await publish(broker, "b", 3)


async def test_subscription_ends_with_its_last_topic(broker: Broker) -> None:
    async with broker.subscribe(["a", "b"], None) as subscription:
        await broker.finish("a", 1)
        assert numbers(await take(subscription, 1)) == [1]
        assert subscription.is_open
        await publish(broker, "b", 2)
        await broker.finish("b", 3)
        assert numbers(await take(subscription, 2)) == [2, 3]

        assert not subscription.is_open
        assert not await next_events(subscription)


async def test_topic_is_over_after_its_last_event(broker: Broker) -> None:
    published, *_ = await publish(broker, "a", 1)
    done = await broker.finish("a", 2)
    later, *_ = await publish(broker, "b", 3)

    assert await broker.is_over(["a"], done)
    assert await broker.is_over(["a"], later)
    assert not await broker.is_over(["a"], published)
    assert not await broker.is_over(["a"], None)
    assert not await broker.is_over(["a"], EARLIEST)
    assert not await broker.is_over(["a", "b"], later)
    assert not await broker.is_over(["silent"], later)


async def test_several_topics_are_over_after_the_last(broker: Broker) -> None:
    first = await broker.finish("a", 1)
    second = await broker.finish("b", 2)

    assert not await broker.is_over(["a", "b"], first)
    assert await broker.is_over(["a", "b"], second)


async def test_slow_subscription_fails_and_resumes_without_loss(make_broker: MakeBroker) -> None:
    broker = make_broker(buffer=5)
    async with broker.subscribe(["a"], None) as slow, broker.subscribe(["a"], None) as fast:
        start = slow.position
        for number in range(20):
            await publish(broker, "a", number)
            assert numbers(await take(fast, 1)) == [number]
        seen = await take_all(slow)

    assert numbers(seen) == [*range(len(seen))]
    assert len(seen) < 20
    last_seen = seen[-1].id if seen else start
    async with broker.subscribe(["a"], last_seen) as resumed:
        rest = await take(resumed, 20 - len(seen))
    assert numbers(rest) == [*range(len(seen), 20)]
    assert not resumed.reset


async def test_replay_is_not_limited_by_the_buffer(make_broker: MakeBroker) -> None:
    broker = make_broker(buffer=2)
    await publish(broker, "a", *range(50))

    async with broker.subscribe(["a"], EARLIEST) as subscription:
        assert numbers(await take(subscription, 50)) == [*range(50)]


PAGES = 40
"""Number of events of `LARGE`, which are several pages of a replay."""
LARGE = "x" * 50_000


async def test_replay_is_read_in_pages(broker: Broker) -> None:
    ids = [await broker.publish("ab"[number % 2], LARGE) for number in range(PAGES)]

    async with broker.subscribe(["a", "b"], EARLIEST) as subscription:
        later = await broker.publish("a", "later")
        first = subscription.take()
        events = [*first, *await take(subscription, PAGES + 1 - len(first))]

    assert len(first) < PAGES / 2
    assert [event.id for event in events] == [*ids, later]


async def test_event_evicted_before_its_page_is_reset(make_broker: MakeBroker) -> None:
    broker = make_broker(history=PAGES)
    await publish(broker, "b", 0)
    ids = [await broker.publish("a", LARGE) for _ in range(PAGES)]

    async with broker.subscribe(["a", "b"], EARLIEST) as subscription:
        seen = [*subscription.take()]
        later = [await broker.publish("a", LARGE) for _ in range(PAGES)]
        seen += await take_all(subscription)

    assert [event.id for event in seen[1:]] == ids[: len(seen) - 1]
    assert len(seen) < PAGES
    async with broker.subscribe(["a", "b"], seen[-1].id) as resumed:
        assert resumed.reset
        assert [event.id for event in await take(resumed, PAGES)] == later


async def test_newer_events_evicted_during_a_replay_are_delivered(make_broker: MakeBroker) -> None:
    broker = make_broker(history=PAGES)
    ids = [await broker.publish("a", LARGE) for _ in range(PAGES)]

    async with broker.subscribe(["a", "b"], EARLIEST) as subscription:
        ids += await publish(broker, "b", *range(2 * PAGES))
        events = await take(subscription, 3 * PAGES)

    assert [event.id for event in events] == ids


async def test_ended_replay_reads_no_more(broker: Broker) -> None:
    for _ in range(PAGES):
        await broker.publish("a", LARGE)

    async with broker.subscribe(["a"], EARLIEST) as subscription:
        subscription.take()

    assert await broker.publish("a", 1)


async def test_oldest_events_exceed_the_bytes_of_history(make_broker: MakeBroker) -> None:
    broker = make_broker(history_bytes=1_000_000)
    ids = [await broker.publish("ab"[number % 2], LARGE) for number in range(PAGES)]

    async with broker.subscribe(["a", "b"], EARLIEST) as subscription:
        kept = await take_until(subscription, ids[-1])
    assert 900_000 < sum(len(event.data) for event in kept) < 1_000_000
    assert [event.id for event in kept] == ids[-len(kept) :]
    for lost in range(1, 5):
        async with broker.subscribe(["a", "b"], ids[-len(kept) - lost]) as subscription:
            assert subscription.reset is (lost > 1)


async def test_event_larger_than_history_is_delivered_and_lost(make_broker: MakeBroker) -> None:
    broker = make_broker(history_bytes=10_000)
    async with broker.subscribe(["a"], None) as subscription:
        position = subscription.position
        id = await broker.publish("a", LARGE)
        assert [event.id for event in await take(subscription, 1)] == [id]

    for last_event_id, reset in [(position, True), (id, False)]:
        async with broker.subscribe(["a"], last_event_id) as subscription:
            assert subscription.reset is reset


async def test_heartbeat_keeps_the_position_of_a_quiet_topic(make_broker: MakeBroker) -> None:
    broker = make_broker(history_bytes=100_000)
    async with broker.subscribe(["quiet"], None) as subscription:
        before = subscription.position
        assert subscription.heartbeat() == HEARTBEAT
        for number in range(5):
            last = await broker.publish(f"other-{number}", LARGE)
        with fail_after(TIMEOUT):
            while subscription._others.newest < last:
                await sleep(0.01)
            while (heartbeat := subscription.heartbeat()) == HEARTBEAT:
                await sleep(0.01)
        comment, field, *end = heartbeat.decode().split("\n")
    position = field.removeprefix("id: ")

    assert (comment, end) == (HEARTBEAT.decode().strip(), ["", ""])
    for last_event_id, reset in [(before, True), (position, False)]:
        async with broker.subscribe(["quiet"], last_event_id) as subscription:
            assert subscription.reset is reset


async def test_ping_of_available_broker_returns(broker: Broker) -> None:
    await broker.ping()


async def take_until(subscription: Subscription, id: str) -> list[Event]:
    """Return the next events, of which the last one has that id."""
    events = [*await next_events(subscription)]
    while events[-1].id != id:
        events += await next_events(subscription)
    return events


async def stored(broker: Broker, topic: str) -> Sequence[Event]:
    """Return all events in history; fail if an event is added at the same time."""
    async with broker.subscribe([topic], EARLIEST) as subscription:
        return subscription.take()
