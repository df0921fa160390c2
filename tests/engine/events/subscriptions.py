"""Publishing to a broker and reading a subscription, as far as tests have it in common."""

import asyncio
import json
from collections.abc import Sequence

from anyio import fail_after

from streaming_api.streaming.events.broker import Broker
from streaming_api.streaming.events.subscription import Subscription, Subscriptions
from streaming_api.streaming.events.wire import Event

TIMEOUT = 10.0
"""Time limit for an event, in seconds."""


def subscribe(topics: Sequence[str], buffer: int = 10) -> Subscription:
    """Return a subscription without a broker."""
    return Subscription(topics, Subscriptions(buffer))


async def publish(broker: Broker, topic: str, *numbers: int) -> list[str]:
    """Publish `numbers`; return the ids."""
    return [await broker.publish(topic, number) for number in numbers]


async def next_events(subscription: Subscription) -> Sequence[Event]:
    """Wait for events and return them; none once all topics are finished."""
    ready = asyncio.Event()
    subscription.notify = ready.set
    with fail_after(TIMEOUT):
        while not subscription.is_ready:
            ready.clear()
            await ready.wait()
    return subscription.take()


async def take(subscription: Subscription, number: int) -> list[Event]:
    """Return the next `number` events; fail if there are more."""
    events: list[Event] = []
    while len(events) < number:
        batch = await next_events(subscription)
        assert batch, "the topics are finished"
        events += batch
    assert len(events) == number
    return events


def numbers(events: Sequence[Event]) -> list[int]:
    """Return the data of events that are numbers."""
    return [json.loads(event.data) for event in events]
