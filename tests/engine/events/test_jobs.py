"""Background jobs: what they publish, and how their topics end."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any, NoReturn

import pytest
from anyio import fail_after, wait_all_tasks_blocked
from fastapi import HTTPException

from streaming_api.streaming.events import jobs as module
from streaming_api.streaming.events.broker import EARLIEST, Broker
from streaming_api.streaming.events.jobs import Jobs
from streaming_api.streaming.events.wire import DONE, STREAM_ERROR, Event

from ..variant import REQUEST_ID
from .subscriptions import TIMEOUT, next_events

if REQUEST_ID:
    from streaming_api.streaming.headers import request_id

pytestmark = pytest.mark.anyio

Job = AsyncGenerator[dict[str, Any], None]


async def count_to_three(topic: str) -> Job:
    for count in range(3):
        yield {"topic": topic, "count": count}


async def wait_for_ever(topic: str) -> Job:
    yield {"topic": topic}
    await asyncio.Event().wait()


async def fail_after_one(topic: str) -> Job:
    yield {"topic": topic}
    raise LookupError("no such order")


async def publish_object(topic: str) -> Job:
    yield {"topic": topic}
    yield {"order": object()}


async def fail(*_: object) -> NoReturn:
    """Stand in for the methods of a broker that is unavailable."""
    raise ConnectionError("the broker is gone")


async def follow(broker: Broker, topic: str, *, until: int | None = None) -> list[Event]:
    """Return the first `until` events of `topic`, or all of a finished one."""
    events: list[Event] = []
    async with broker.subscribe([topic], EARLIEST) as subscription:
        while until is None or len(events) < until:
            batch = await next_events(subscription)
            if not batch:
                break
            events += batch
    return events


async def test_job_publishes_what_it_yields_then_done(broker: Broker) -> None:
    topic = Jobs(broker).start(count_to_three)

    *counts, done = await follow(broker, topic)

    assert [json.loads(event.data) for event in counts] == [
        {"topic": topic, "count": count} for count in range(3)
    ]
    assert [event.name for event in counts] == [None] * 3
    assert (done.name, done.data) == (DONE, b'{"done":true}')


async def test_each_job_has_its_own_topic(broker: Broker) -> None:
    jobs = Jobs(broker)

    topics = {jobs.start(count_to_three) for _ in range(3)}

    assert len(topics) == 3
    await jobs.close()


async def test_shutdown_ends_jobs_with_stream_error(broker: Broker) -> None:
    jobs = Jobs(broker)
    topic = jobs.start(wait_for_ever)
    await follow(broker, topic, until=1)

    await jobs.close()

    *_, last = await follow(broker, topic)
    assert last.name == STREAM_ERROR
    assert "stopped" in json.loads(last.data)["title"]


async def test_shutdown_closes_the_generators_of_jobs(broker: Broker) -> None:
    closed: list[str] = []

    async def wait_and_clean_up(topic: str) -> Job:
        try:
            yield {"topic": topic}
            await asyncio.Event().wait()
        finally:
            closed.append(topic)

    jobs = Jobs(broker)
    topic = jobs.start(wait_and_clean_up)
    await follow(broker, topic, until=1)

    await jobs.close()

    assert closed == [topic]


@pytest.mark.parametrize(
    ("job", "error"),
    [
        pytest.param(fail_after_one, "LookupError: no such order", id="raises"),
        pytest.param(publish_object, "ValueError", id="unserializable"),
    ],
)
async def test_failed_job_ends_with_stream_error(
    broker: Broker, caplog: pytest.LogCaptureFixture, job: Any, error: str
) -> None:
    topic = Jobs(broker).start(job)

    first, last = await follow(broker, topic)

    assert json.loads(first.data) == {"topic": topic}
    assert last.name == STREAM_ERROR
    assert json.loads(last.data)["title"] == "The job failed."
    assert error in caplog.text


async def test_job_that_cannot_publish_ends_with_stream_error(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(broker, "publish", fail)
    topic = Jobs(broker).start(count_to_three)

    (last,) = await follow(broker, topic)

    assert last.name == STREAM_ERROR
    assert json.loads(last.data)["title"] == "The job failed."
    assert "ConnectionError: the broker is gone" in caplog.text


async def test_failed_publish_closes_the_generator_first(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    async def record_cleanup(topic: str) -> Job:
        try:
            yield {"topic": topic}
        finally:
            steps.append("closed")

    async def finish(*_: object) -> None:
        steps.append("finished")

    monkeypatch.setattr(broker, "publish", fail)
    monkeypatch.setattr(broker, "finish", finish)
    Jobs(broker).start(record_cleanup)

    await wait_all_tasks_blocked()

    assert steps == ["closed", "finished"]


async def test_failure_that_cannot_be_published_is_logged(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(broker, "publish", fail)
    monkeypatch.setattr(broker, "finish", fail)
    topic = Jobs(broker).start(count_to_three)

    await wait_all_tasks_blocked()

    assert f"job failure not published topic={topic}" in caplog.text


async def test_shutdown_does_not_wait_for_a_stalled_broker(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stall(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.01)
    jobs = Jobs(broker)
    topic = jobs.start(wait_for_ever)
    await follow(broker, topic, until=1)
    monkeypatch.setattr(broker, "finish", stall)

    with fail_after(TIMEOUT):
        await jobs.close()


async def test_limit_of_jobs_counts_running_ones(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_JOBS", 1)
    jobs = Jobs(broker)
    jobs.start(wait_for_ever)

    with pytest.raises(HTTPException) as error:
        jobs.start(count_to_three)

    assert error.value.status_code == 503
    assert error.value.headers == {"Retry-After": "5"}
    await jobs.close()
    jobs.start(count_to_three)
    await jobs.close()


@pytest.mark.skipif(not REQUEST_ID, reason="needs request_id")
async def test_failed_job_has_the_id_of_its_request(broker: Broker) -> None:
    token = request_id.set("0190163d-8694-739b-aea5-966c26f8ad91")
    topic = Jobs(broker).start(fail_after_one)
    request_id.reset(token)

    *_, last = await follow(broker, topic)

    assert json.loads(last.data)["request_id"] == "0190163d-8694-739b-aea5-966c26f8ad91"
