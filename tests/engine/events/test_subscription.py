"""The events that wait for one subscriber, independent of a broker."""

import pytest

from streaming_api.streaming.events.subscription import Subscription
from streaming_api.streaming.events.wire import Event
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
