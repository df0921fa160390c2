"""The events that wait for one subscriber, independent of a broker."""

from collections.abc import Callable

import pytest

from streaming_api.streaming.events import subscription as subscription_module
from streaming_api.streaming.events.subscription import (
    CATCH_UP_STEPS,
    Subscription,
    Subscriptions,
)
from streaming_api.streaming.events.wire import HEARTBEAT, Event
from streaming_api.streaming.registry import SlowReader

from .subscriptions import subscribe


def event(number: int, topic: str = "a") -> Event:
    return Event(f"{number:03}", topic, b"%d" % number)


def start(subscription: Subscription, *replay: Event, newest: int = 0) -> None:
    """Start after the event `newest`."""
    subscription.start(list(replay), after=None, newest=f"{newest:03}", lost=(), finished=())


def test_events_pushed_before_start_follow_the_replay() -> None:
    subscription = subscribe(["a"], buffer=10)
    for number in (1, 2, 3):
        subscription.push(event(number), last=False)

    start(subscription, event(1), event(2), newest=2)

    assert subscription.take() == [event(1), event(2)]
    subscription.add_page([])
    assert subscription.take() == [event(3)]


def test_event_of_the_replay_is_not_delivered_again() -> None:
    subscription = subscribe(["a"], buffer=10)
    start(subscription, event(1), event(2), newest=2)

    for number in (1, 2, 3):
        subscription.push(event(number), last=False)

    assert subscription.take() == [event(1), event(2)]
    subscription.add_page([])
    assert subscription.take() == [event(3)]


@pytest.mark.parametrize(
    ("after", "lost", "reset"),
    [
        pytest.param(None, ["005"], False, id="no-id"),
        pytest.param("", [], True, id="unknown-id"),
        pytest.param("004", ["003", "005"], True, id="lost"),
        pytest.param("005", ["003", "005"], False, id="nothing-lost"),
    ],
)
def test_events_lost_after_the_id_are_a_reset(
    after: str | None, lost: list[str], reset: bool
) -> None:
    subscription = subscribe(["a"], buffer=10)

    subscription.start([], after=after, newest="009", lost=lost, finished=())

    assert subscription.reset is reset
    assert subscription.position == (None if after and not reset else "009")


def test_full_buffer_fails_after_its_events() -> None:
    subscription = subscribe(["a"], buffer=2)
    start(subscription)

    for number in (1, 2, 3, 4):
        subscription.push(event(number), last=False)

    assert subscription.take() == [event(1), event(2)]
    with pytest.raises(SlowReader):
        subscription.take()


def test_first_failure_is_raised() -> None:
    subscription = subscribe(["a"], buffer=10)
    start(subscription)

    subscription.fail(ConnectionError("first"))
    subscription.fail(ConnectionError("second"))

    with pytest.raises(ConnectionError, match="first"):
        subscription.take()


def test_event_or_failure_is_notified() -> None:
    notified: list[int] = []
    subscription = subscribe(["a"], buffer=10)
    start(subscription)
    subscription.notify = lambda: notified.append(len(notified))

    assert not subscription.is_ready
    subscription.push(event(1), last=False)
    assert (subscription.is_ready, notified) == (True, [0])
    subscription.take()
    assert not subscription.is_ready
    subscription.fail(ConnectionError())

    assert (subscription.is_ready, notified) == (True, [0, 1])


def test_last_event_closes_its_topic_only() -> None:
    subscription = subscribe(["a", "b"], buffer=10)
    start(subscription)

    subscription.push(event(1, "a"), last=True)
    assert subscription.is_open
    subscription.push(event(2, "b"), last=True)

    assert not subscription.is_open
    assert subscription.take() == [event(1, "a"), event(2, "b")]
    assert subscription.is_ready
    assert subscription.take() == []


def test_events_of_too_many_bytes_fail_after_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_module, "MAX_BUFFER_BYTES", 3 * event(1).size)
    subscription = subscribe(["a"], buffer=10)
    start(subscription)

    for number in range(1, 6):
        subscription.push(event(number), last=False)

    assert subscription.take() == [event(1), event(2), event(3)]
    with pytest.raises(SlowReader):
        subscription.take()


def test_single_event_of_any_size_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_module, "MAX_BUFFER_BYTES", 1)
    subscription = subscribe(["a"], buffer=10)
    start(subscription)

    for number in (1, 2):
        subscription.push(event(number), last=False)
        assert subscription.take() == [event(number)]


def test_events_are_taken_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_module, "CHUNK_BYTES", 2 * event(1).size)
    subscription = subscribe(["a"], buffer=10)
    start(subscription)

    for number in range(1, 6):
        subscription.push(event(number), last=False)

    assert subscription.take() == [event(1), event(2)]
    assert subscription.take() == [event(3), event(4)]
    assert subscription.take() == [event(5)]
    assert not subscription.is_ready


def test_failure_during_a_replay_follows_its_page() -> None:
    subscription = subscribe(["a"])
    start(subscription, event(1), newest=1)
    subscription.push(event(2), last=False)

    subscription.fail(ConnectionError())

    assert subscription.take() == [event(1)]
    with pytest.raises(ConnectionError):
        subscription.take()


def test_heartbeat_before_the_end_of_a_replay_has_no_id() -> None:
    subscriptions = Subscriptions(10)
    subscription = Subscription(["a"], subscriptions)
    subscriptions.newest = subscriptions.lost = "009"
    start(subscription, event(1), newest=5)

    assert subscription.heartbeat() == HEARTBEAT
    subscription.take()
    assert subscription.heartbeat() == HEARTBEAT
    subscription.add_page([])
    assert subscription.heartbeat() == b": heartbeat\nid: 009\n\n"
    assert subscription.heartbeat() == HEARTBEAT


class Waits:
    """Stands for `asyncio` in the module; what happens while publishers wait."""

    def __init__(self) -> None:
        self.number = 0
        self.callback: Callable[[], object] = bool

    async def sleep(self, seconds: float) -> None:
        self.number += 1
        self.callback()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """The waiting of publishers, which takes no time."""
    waits = Waits()
    monkeypatch.setattr(subscription_module, "asyncio", waits)
    return waits


async def push(subscriptions: Subscriptions, *events: Event) -> None:
    """Add events as a broker does."""
    for each in events:
        await subscriptions.make_room(1, each.size)
        subscriptions.push(each, last=False)


@pytest.mark.anyio
async def test_subscription_that_catches_up_has_all_events(waits: Waits) -> None:
    subscriptions = Subscriptions(4)
    fast, other = Subscription(["a"], subscriptions), Subscription(["b"], subscriptions)
    taken: list[Event] = []
    for each in (fast, other):
        start(each)

    def take() -> None:
        if waits.number % 3 == 0:
            for each in (fast, other):
                taken.extend(each.take())

    waits.callback = take
    with subscriptions.delivering(["a"], fast), subscriptions.delivering(["b"], other):
        await push(subscriptions, *(event(number, "ab"[number % 2]) for number in range(1, 41)))

    assert sorted(each.id for each in taken) == [f"{number:03}" for number in range(1, 37)]
    assert waits.number == 9 * 3


@pytest.mark.anyio
async def test_publishing_waits_once_for_a_slow_subscription(waits: Waits) -> None:
    subscriptions = Subscriptions(4)
    slow, fast = Subscription(["a"], subscriptions), Subscription(["a"], subscriptions)
    for each in (slow, fast):
        start(each)

    def take() -> None:
        fast.take()

    waits.callback = take
    with subscriptions.delivering(["a"], slow), subscriptions.delivering(["a"], fast):
        for number in range(1, 61):
            await push(subscriptions, event(number))
            if len(slow.pending) == 4:
                del slow.pending[:2]  # a slow reader takes some of what waits
        assert waits.number <= CATCH_UP_STEPS + 60
        slow.take()
        before = waits.number
        await push(subscriptions, *(event(number) for number in range(61, 69)))

    assert waits.number >= before + CATCH_UP_STEPS
    assert not fast._failure
