"""Jobs, and what their followers hear of them."""

import json
from typing import NoReturn

import pytest
from anyio import fail_after, wait_all_tasks_blocked

from {{ cookiecutter.__package_name }}.events import jobs as jobs_module
from {{ cookiecutter.__package_name }}.events.broker import EARLIEST, Broker
from {{ cookiecutter.__package_name }}.events.jobs import Jobs, TooManyJobs
from {{ cookiecutter.__package_name }}.events.wire import DONE, STREAM_ERROR, Event
#{% if cookiecutter.request_id %}
from {{ cookiecutter.__package_name }}.middleware.request_id import request_id
#{% endif %}

pytestmark = pytest.mark.anyio

HOURS = 3600.0


async def fail(*_: object) -> NoReturn:
    """Stand in for a broker that does not answer."""
    raise ConnectionError("the broker is gone")


async def follow(broker: Broker, topic: str, *, until: int | None = None) -> list[Event]:
    """Return the first `until` events of `topic`, or all up to its last."""
    events: list[Event] = []
    with fail_after(10):
        async with broker.subscribe([topic], EARLIEST) as subscription:
            while until is None or len(events) < until:
                batch = await subscription.next()
                if not batch:
                    break
                events += batch
    return events


async def test_a_job_reports_every_step_and_is_done(broker: Broker) -> None:
    topic = Jobs(broker).start(steps=3, interval=0)

    *counts, done = await follow(broker, topic)

    assert [json.loads(event.data) for event in counts] == [
        {"topic": topic, "count": count} for count in range(3)
    ]
    assert [event.name for event in counts] == [None] * 3
    assert (done.name, done.data) == (DONE, b'{"done":true}')


async def test_every_job_has_a_topic_of_its_own(broker: Broker) -> None:
    jobs = Jobs(broker)

    topics = {jobs.start(steps=1, interval=0) for _ in range(3)}

    assert len(topics) == 3
    await jobs.close()


async def test_followers_of_a_job_are_told_that_the_server_stops(broker: Broker) -> None:
    jobs = Jobs(broker)
    topic = jobs.start(steps=2, interval=HOURS)
    await follow(broker, topic, until=1)

    await jobs.close()

    *_, last = await follow(broker, topic)
    assert last.name == STREAM_ERROR
    assert "stopped" in json.loads(last.data)["title"]


async def test_followers_of_a_job_are_told_that_it_failed(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(broker, "publish", fail)
    topic = Jobs(broker).start(steps=1, interval=0)

    (last,) = await follow(broker, topic)

    assert last.name == STREAM_ERROR
    assert json.loads(last.data)["title"] == "The job failed."
    assert "ConnectionError: the broker is gone" in caplog.text


async def test_a_failed_job_that_cannot_say_so_ends_in_the_log(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(broker, "publish", fail)
    monkeypatch.setattr(broker, "finish", fail)
    topic = Jobs(broker).start(steps=1, interval=0)

    await wait_all_tasks_blocked()

    assert f"followers were not told topic={topic}" in caplog.text


async def test_only_jobs_that_run_count_against_the_limit(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "MAX_JOBS", 1)
    jobs = Jobs(broker)
    jobs.start(steps=2, interval=HOURS)

    with pytest.raises(TooManyJobs):
        jobs.start(steps=1, interval=0)

    await jobs.close()
    jobs.start(steps=1, interval=0)
    await jobs.close()
#{% if cookiecutter.request_id %}


async def test_a_job_that_fails_names_the_request_that_started_it(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "publish", fail)
    token = request_id.set("0190163d-8694-739b-aea5-966c26f8ad91")
    topic = Jobs(broker).start(steps=1, interval=0)
    request_id.reset(token)

    (last,) = await follow(broker, topic)

    assert json.loads(last.data)["request_id"] == "0190163d-8694-739b-aea5-966c26f8ad91"
#{% endif %}
