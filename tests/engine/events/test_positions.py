"""Any text as the id of the last event: the stream resumes exactly there, or with a reset."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple

from anyio import run
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import EventSource
from hypothesis import HealthCheck, given
from hypothesis import settings as configured
from hypothesis import strategies as st

from streaming_api.settings import Settings
from streaming_api.streaming.events.broker import EARLIEST, Broker, TopicFinished
from streaming_api.streaming.events.wire import DONE, RESET

from ..variant import REDIS
from .conftest import LIMITS

if REDIS:
    from streaming_api.streaming.events.redis import RedisBroker
else:
    from streaming_api.streaming.events.memory import MemoryBroker

LIFE = 21
"""The number of characters that all ids of a broker begin with."""
numbers = count()


def open_broker(history: int) -> Broker:
    """Return a broker that keeps so many events of a topic; those of Redis share one server."""
    settings: Any = Settings()
    limits = LIMITS | {"history": history}
    return RedisBroker(settings.redis_url, **limits) if REDIS else MemoryBroker(**limits)


class Change(NamedTuple):
    """A change of an issued id: characters that are replaced or inserted."""

    position: int
    start: int
    text: str
    inserts: bool

    def apply(self, ids: Sequence[str]) -> str:
        """Return the changed id, one of `ids`."""
        if not ids:
            return self.text
        id = ids[self.position % len(ids)]
        start = self.start % (len(id) + 1)
        return id[:start] + self.text + id[start + len(self.text) * (not self.inserts) :]


digits = st.text("0123456789", max_size=13)
changes = st.builds(
    Change,
    st.integers(0, 9),
    st.integers(0, 60),
    st.just("") | digits | digits | st.text("0123456789abcdef-", max_size=3) | st.text(),
    st.sampled_from([False, False, False, True]),
)
topics = st.sampled_from("abc")


async def check(
    history: int,
    published: Sequence[tuple[str, bool]],
    followed: Sequence[str],
    last_event_id: str | Change | None,
) -> None:
    """Publish events, the last ones of their topics too, and follow topics after an id."""
    names = {topic: f"topic-{next(numbers)}-{topic}" for topic in "abc"}
    ids: dict[str, list[str]] = {topic: [] for topic in "abc"}
    finished: set[str] = set()
    async with open_broker(history) as broker:
        for topic, is_last in published:
            with suppress(TopicFinished):
                publish = broker.finish if is_last else broker.publish
                ids[topic].append(await publish(names[topic], None))
                finished |= {topic} if is_last else set()
        issued = sorted(id for some in ids.values() for id in some)
        id = last_event_id.apply(issued) if isinstance(last_event_id, Change) else last_event_id

        is_over = await broker.is_over([names[topic] for topic in followed], id)
        async with broker.subscribe([names[topic] for topic in followed], id) as subscription:
            replayed = [event.id for event in subscription.take()]

    is_finished = finished.issuperset(followed)
    if id is None:
        followed = [topic for topic in followed if topic in finished]
    history_of = {topic: max(history, topic in finished) for topic in followed}
    all_events = sorted(each for topic in followed for each in ids[topic])
    kept = sorted(
        each for topic, length in history_of.items() for each in ids[topic][::-1][:length]
    )
    if id in (None, EARLIEST):
        assert (replayed, subscription.reset, is_over) == (kept, False, False)
        return
    after = [each for each in kept if each > id]
    if subscription.reset:
        assert replayed == after or (replayed == kept and id not in issued)
    else:
        assert replayed == [each for each in all_events if each > id]
        assert (len(id), id[:LIFE]) == (len(issued[-1]), issued[-1][:LIFE])
        assert id <= issued[-1]
    if history and id in issued:
        assert subscription.reset == any(each > id for each in set(all_events) - set(kept))
    assert is_over == (is_finished and not (subscription.reset or replayed))


@configured(deadline=None)
@given(
    history=st.sampled_from([0, 1, 3, 100]),
    published=st.lists(st.tuples(topics, st.sampled_from([False, False, True])), max_size=9),
    followed=st.lists(topics, min_size=1, unique=True),
    last_event_id=changes | changes | st.none() | st.just(EARLIEST) | st.text(),
)
def test_any_id_resumes_exactly_or_resets(
    history: int,
    published: list[tuple[str, bool]],
    followed: list[str],
    last_event_id: str | Change | None,
) -> None:
    run(check, history, published, followed, last_event_id)


@configured(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=changes | st.none() | st.binary(),
    parameters=st.dictionaries(
        st.sampled_from(["last_event_id", "lastEventId"]), changes | st.text()
    ),
)
def test_request_with_any_id_is_answered(
    app: FastAPI,
    client: TestClient,
    header: Change | bytes | None,
    parameters: dict[str, str | Change],
) -> None:
    topic = f"topic-{next(numbers)}"
    publish, finish = app.state.broker.publish, app.state.broker.finish
    assert client.portal
    ids = [client.portal.call(each, topic, None) for each in (publish, publish, finish)]
    if isinstance(header, Change):
        header = header.apply(ids).encode()
    values = {
        name: each.apply(ids) if isinstance(each, Change) else each
        for name, each in parameters.items()
    }

    headers = {} if header is None else {b"Last-Event-ID": header}
    response = client.get(f"/events/{topic}", params=values, headers=headers)

    assert response.status_code in (200, 204)
    events = list(EventSource(response)) if response.content else []
    received = [event.id for event in events if event.event in ("message", DONE)]
    assert received == ids[len(ids) - len(received) :]
    if any(event.event == RESET for event in events):
        assert received == ids
