"""Runs: what they publish, how they end, and what limits them."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any, NoReturn

import pytest
from anyio import fail_after, wait_all_tasks_blocked
from fastapi.sse import ServerSentEvent
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from streaming_api.streaming import generators
from streaming_api.streaming.events.broker import EARLIEST, Broker
from streaming_api.streaming.events.runs import BUFFER, Run, Runs
from streaming_api.streaming.events.wire import DONE, STREAM_ERROR, Event

from ..variant import CHAT, REDIS, REQUEST_ID
from .conftest import MakeRuns
from .subscriptions import TIMEOUT, next_events

if REQUEST_ID:
    from streaming_api.streaming.headers import request_id

pytestmark = pytest.mark.anyio

Work = AsyncGenerator[Any, None]
STOPPED_SERVER = "The server was stopped before the end."
marker: ContextVar[str] = ContextVar("marker")


class Recorder:
    """Work that records its cleanup."""

    def __init__(self, *values: object, waits: bool = True) -> None:
        self.steps: list[str] = []
        self.cleaning = asyncio.Event()
        self.cleaned = asyncio.Event()
        self.may_clean = asyncio.Event()
        self.may_clean.set()
        self._values = values
        self._waits = waits

    async def __call__(self, topic: str) -> Work:
        """Yield values, wait, and clean up, which waits, too."""
        try:
            async with aclosing(self._inner()) as values:
                self.steps.append("started")
                async for value in values:
                    yield value
                await asyncio.sleep(0)
                if self._waits:
                    await asyncio.Event().wait()
        finally:
            self.cleaning.set()
            await self.may_clean.wait()
            self.steps.append("cleaned")
            self.cleaned.set()

    async def _inner(self) -> Work:
        for value in self._values:
            await asyncio.sleep(0)
            yield value


async def count_to_three(topic: str) -> Work:
    for count in range(3):
        yield {"topic": topic, "count": count}


async def fail_after_one(topic: str) -> Work:
    yield {"topic": topic}
    raise LookupError("no such order")


async def fail(*_: object, **__: object) -> NoReturn:
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


async def status_of(runs: Runs, run: Run) -> str | None:
    found = await runs.find(run.id)
    return found and found.status


def end_of(event: Event) -> tuple[str | None, Any]:
    """Return the name of a last event, and its status or its title."""
    data = json.loads(event.data)
    return event.name, data.get("status") or data["title"]


async def refused(starting: Any) -> tuple[int, Any]:
    """Return the status of the exception, and its headers."""
    with pytest.raises(HTTPException) as error:
        await starting
    return error.value.status_code, error.value.headers


# What a run publishes.


async def test_run_publishes_its_values_then_done(broker: Broker, runs: Runs) -> None:
    run = await runs.start(count_to_three, "ada")

    *counts, done = await follow(broker, run.topic)

    assert [json.loads(event.data) for event in counts] == [
        {"topic": run.topic, "count": count} for count in range(3)
    ]
    assert [event.name for event in counts] == [None] * 3
    assert (done.name, done.data) == (DONE, b'{"done":true,"status":"done"}')
    assert await status_of(runs, run) == "done"


class Order(BaseModel):
    """A model."""

    number: int


async def test_run_publishes_values_of_every_kind(broker: Broker, runs: Runs) -> None:
    values = [Order(number=1), {"a": None}, "text", ServerSentEvent(data=Order(number=2)), None]
    run = await runs.start(
        Recorder(*values, ServerSentEvent(data="x", event="token"), waits=False), "ada"
    )

    *events, _ = await follow(broker, run.topic)

    assert [(event.name, event.data) for event in events] == [
        (None, b'{"number":1}'),
        (None, b'{"a":null}'),
        (None, b'"text"'),
        (None, b'{"number":2}'),
        (None, b"null"),
        ("token", b'"x"'),
    ]


async def test_each_run_has_its_own_topic(runs: Runs) -> None:
    started = [await runs.start(count_to_three, "ada") for _ in range(3)]

    assert len({run.topic for run in started}) == len({run.id for run in started}) == 3


async def test_run_has_context_variables_of_its_start(broker: Broker, runs: Runs) -> None:
    async def publish_marker(topic: str) -> Work:
        yield marker.get()

    token = marker.set("of the request")
    run = await runs.start(publish_marker, "ada")
    marker.reset(token)

    first, _ = await follow(broker, run.topic)

    assert first.data == b'"of the request"'


# The ends of a run.


@pytest.mark.parametrize("turns", range(16))
async def test_stop_at_any_point_closes_the_generator(
    broker: Broker, runs: Runs, turns: int
) -> None:
    work = Recorder(1, 2, 3)
    run = await runs.start(work, "ada")
    for _ in range(turns):
        await asyncio.sleep(0)

    assert await runs.stop(run.id)

    *_, last = await follow(broker, run.topic)
    assert end_of(last) == (DONE, "stopped")
    assert work.steps in ([], ["started", "cleaned"])
    assert await status_of(runs, run) == "stopped"


async def test_stopped_run_publishes_what_it_has_yielded(broker: Broker, runs: Runs) -> None:
    work = Recorder(1, 2, 3)
    run = await runs.start(work, "ada")
    await follow(broker, run.topic, until=3)

    await runs.stop(run.id)

    events = await follow(broker, run.topic)
    assert [event.data for event in events[:-1]] == [b"1", b"2", b"3"]


async def test_cleanup_is_not_cancelled_by_stop_or_shutdown(
    broker: Broker, make_runs: MakeRuns
) -> None:
    runs = await make_runs()
    work = Recorder(1)
    work.may_clean.clear()
    run = await runs.start(work, "ada")
    await follow(broker, run.topic, until=1)
    await runs.stop(run.id)
    await work.cleaning.wait()

    await runs.stop(run.id)
    closing = asyncio.create_task(runs.__aexit__())
    await wait_all_tasks_blocked()
    assert not closing.done()
    work.may_clean.set()
    await closing

    assert work.steps == ["started", "cleaned"]
    *_, last = await follow(broker, run.topic)
    assert end_of(last) == (DONE, "stopped")


async def test_stop_lets_the_cleanup_of_a_normal_end_complete(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generators, "CLEANUP_SECONDS", TIMEOUT)
    cleaning, may_end, cleaned = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(topic: str) -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            cleaning.set()
            await may_end.wait()
            cleaned.set()

    run = await runs.start(work, "ada")
    with fail_after(TIMEOUT):
        await cleaning.wait()
        await runs.stop(run.id)
        await wait_all_tasks_blocked()
        may_end.set()
        await cleaned.wait()


async def test_stop_of_ended_run_keeps_its_status(broker: Broker, runs: Runs) -> None:
    run = await runs.start(count_to_three, "ada")
    await follow(broker, run.topic)

    assert await runs.stop(run.id)

    assert await status_of(runs, run) == "done"


async def test_unknown_run_is_neither_found_nor_stopped(runs: Runs) -> None:
    assert await runs.find("unknown") is None
    assert not await runs.stop("unknown")


async def swallow_cancellation(topic: str) -> Work:
    while True:
        try:
            yield topic
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass


async def test_run_that_swallows_its_cancellation_is_stopped(broker: Broker, runs: Runs) -> None:
    run = await runs.start(swallow_cancellation, "ada")
    await follow(broker, run.topic, until=1)

    await runs.stop(run.id)

    *_, last = await follow(broker, run.topic)
    assert end_of(last) == (DONE, "stopped")


async def fail_in_cleanup(topic: str) -> Work:
    try:
        yield topic
        await asyncio.Event().wait()
    finally:
        raise OSError("already closed")


async def test_failed_cleanup_of_stopped_run_is_logged(
    broker: Broker, runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    run = await runs.start(fail_in_cleanup, "ada")
    await follow(broker, run.topic, until=1)

    await runs.stop(run.id)

    *_, last = await follow(broker, run.topic)
    await runs.__aexit__()
    assert end_of(last) == (DONE, "stopped")
    assert "OSError: already closed" in caplog.text


async def cancel_itself(topic: str) -> Work:
    yield topic
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("work", "error"),
    [
        pytest.param(fail_after_one, "LookupError: no such order", id="raises"),
        pytest.param(cancel_itself, "The generator raised CancelledError", id="cancelled"),
        pytest.param(Recorder(1, object()), "ValueError", id="no-json"),
        pytest.param(
            Recorder(1, ServerSentEvent(data=1, event="done")), "ValueError", id="reserved-name"
        ),
        pytest.param(Recorder(1, ServerSentEvent(data=1, id="1")), "ValueError", id="own-id"),
    ],
)
async def test_failed_run_ends_with_stream_error(
    broker: Broker, runs: Runs, caplog: pytest.LogCaptureFixture, work: Any, error: str
) -> None:
    run = await runs.start(work, "ada")

    *_, last = await follow(broker, run.topic)

    assert end_of(last) == (STREAM_ERROR, "The run failed.")
    assert await status_of(runs, run) == "failed"
    await runs.__aexit__()
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert f"id={run.id}" in record.getMessage()
    assert error in caplog.text


@pytest.mark.skipif(not REQUEST_ID, reason="needs request_id")
async def test_failed_run_has_the_id_of_its_request(
    broker: Broker, runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    logged: list[str] = []

    def note_id(record: logging.LogRecord) -> bool:
        logged.append(request_id.get())
        return True

    caplog.handler.addFilter(note_id)
    token = request_id.set("0190163d-8694-739b-aea5-966c26f8ad91")
    run = await runs.start(fail_after_one, "ada")
    request_id.reset(token)

    *_, last = await follow(broker, run.topic)

    await runs.__aexit__()
    caplog.handler.removeFilter(note_id)
    assert json.loads(last.data)["request_id"] == "0190163d-8694-739b-aea5-966c26f8ad91"
    assert logged == ["0190163d-8694-739b-aea5-966c26f8ad91"]


async def test_run_that_cannot_publish_is_closed_then_ended(
    broker: Broker, runs: Runs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    work = Recorder(1)

    async def finish(*_: object) -> None:
        work.steps.append("finished")

    monkeypatch.setattr(broker, "publish_all", fail)
    monkeypatch.setattr(broker, "finish", finish)
    run = await runs.start(work, "ada")

    await work.cleaned.wait()
    await runs.__aexit__()

    assert work.steps == ["started", "cleaned", "finished"]
    assert await status_of(runs, run) == "failed"
    assert "ConnectionError: the broker is gone" in caplog.text


async def test_end_that_cannot_be_published_is_logged(
    broker: Broker, runs: Runs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(broker, "finish", fail)
    run = await runs.start(count_to_three, "ada")

    await follow(broker, run.topic, until=3)
    await runs.__aexit__()

    assert f"run not ended id={run.id}" in caplog.text


async def test_run_whose_topic_was_finished_ends(broker: Broker, runs: Runs) -> None:
    work = Recorder(1)
    run = await runs.start(work, "ada")
    await follow(broker, run.topic, until=1)
    await broker.finish(run.topic, "by its owner")

    await runs.stop(run.id)
    await work.cleaned.wait()
    await runs.__aexit__()

    assert await status_of(runs, run) == "stopped"


# Shutdown.


async def test_shutdown_ends_runs_with_stream_error(broker: Broker, runs: Runs) -> None:
    work = Recorder(1)
    run = await runs.start(work, "ada")
    await follow(broker, run.topic, until=1)

    with fail_after(TIMEOUT):
        await runs.__aexit__()

    *_, last = await follow(broker, run.topic)
    assert end_of(last) == (STREAM_ERROR, STOPPED_SERVER)
    assert work.steps == ["started", "cleaned"]
    assert await status_of(runs, run) == "failed"


async def test_draining_server_lets_runs_end_within_its_grace(
    broker: Broker, make_runs: MakeRuns
) -> None:
    runs = await make_runs(grace=TIMEOUT)
    work = Recorder(1, waits=False)
    work.may_clean.clear()
    run = await runs.start(work, "ada")
    runs.streams.drain()

    closing = asyncio.create_task(runs.__aexit__())
    await work.cleaning.wait()
    work.may_clean.set()
    await closing

    *_, last = await follow(broker, run.topic)
    assert end_of(last) == (DONE, "done")


async def test_draining_server_ends_runs_after_its_grace(
    broker: Broker, make_runs: MakeRuns
) -> None:
    runs = await make_runs(grace=0.05)
    run = await runs.start(Recorder(1), "ada")
    runs.streams.drain()

    with fail_after(TIMEOUT):
        await runs.__aexit__()

    *_, last = await follow(broker, run.topic)
    assert end_of(last) == (STREAM_ERROR, STOPPED_SERVER)


async def test_draining_server_starts_no_run(runs: Runs) -> None:
    runs.streams.drain()

    assert await refused(runs.start(count_to_three, "ada")) == (503, {"Retry-After": "1"})


# Limits.


async def test_limit_of_process_counts_running_runs(broker: Broker, make_runs: MakeRuns) -> None:
    runs = await make_runs(max_runs=2)
    first = await runs.start(Recorder(), "ada")
    await runs.start(Recorder(), "bob")

    assert await refused(runs.start(count_to_three, "eve")) == (503, {"Retry-After": "5"})

    await runs.stop(first.id)
    await follow(broker, first.topic)
    with fail_after(TIMEOUT):
        while len(runs._callers) > 1:
            await asyncio.sleep(0)
    await runs.start(count_to_three, "eve")


async def test_limit_of_caller_leaves_others_theirs(make_runs: MakeRuns) -> None:
    runs = await make_runs(max_per_client=1)
    await runs.start(Recorder(), "ada")

    assert await refused(runs.start(count_to_three, "ada")) == (429, {"Retry-After": "5"})

    await runs.start(count_to_three, "bob")


async def test_limit_holds_for_concurrent_starts(make_runs: MakeRuns) -> None:
    runs = await make_runs(max_per_client=3)

    results = await asyncio.gather(
        *(runs.start(Recorder(), "ada") for _ in range(10)), return_exceptions=True
    )

    assert sum(isinstance(result, Run) for result in results) == 3


async def test_failed_claim_frees_its_place(
    make_runs: MakeRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = await make_runs(max_runs=1)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "_claim", fail)
        with pytest.raises(ConnectionError):
            await runs.start(count_to_three, "ada")

    await runs.start(count_to_three, "ada")


# Idempotency.


async def test_same_key_returns_the_first_run(broker: Broker, runs: Runs) -> None:
    first = await runs.start(count_to_three, "ada", key="k 1", body="{}")
    await follow(broker, first.topic)

    again = await runs.start(count_to_three, "ada", key="k 1", body="{}")

    assert (again.id, again.status) == (first.id, "done")


async def test_same_key_with_another_body_is_unprocessable(runs: Runs) -> None:
    await runs.start(count_to_three, "ada", key="k", body="{}")

    assert (await refused(runs.start(count_to_three, "ada", key="k", body="[]")))[0] == 422


@pytest.mark.skipif(not CHAT, reason="no chat")
async def test_newest_run_with_a_name_is_found(make_runs: MakeRuns) -> None:
    one, other = await make_runs(), await make_runs()
    first = await one.start(Recorder(), "ada", name="chat 1")
    assert await one.find_named("chat 2") is None

    second = await one.start(Recorder(), "ada", name="chat 1")
    third = await other.start(Recorder(), "bob", name="chat 2")
    await one.stop(first.id)

    found = await one.find_named("chat 1")
    assert found
    assert (found.id, found.status) == (second.id, "running")
    if REDIS:
        found = await one.find_named("chat 2")
        assert found
        assert found.id == third.id


async def test_keys_belong_to_their_callers(runs: Runs) -> None:
    first = await runs.start(count_to_three, "ada", key="k", body="{}")

    others = [
        await runs.start(count_to_three, "bob", key="k", body="[]"),
        await runs.start(count_to_three, "ada", key="other", body="[]"),
        await runs.start(count_to_three, "ada", body="{}"),
        await runs.start(count_to_three, "ada", body="{}"),
    ]

    assert len({run.id for run in (first, *others)}) == 5


async def test_concurrent_starts_with_one_key_are_one_run(runs: Runs) -> None:
    started = await asyncio.gather(*(runs.start(count_to_three, "ada", key="k") for _ in range(10)))

    assert len({run.id for run in started}) == 1


async def test_known_key_is_answered_at_the_limit(make_runs: MakeRuns) -> None:
    runs = await make_runs(max_runs=1)
    first = await runs.start(Recorder(), "ada", key="k")

    again = await runs.start(Recorder(), "ada", key="k")

    assert again.id == first.id
    assert (await refused(runs.start(Recorder(), "ada", key="other")))[0] == 503
    await runs.stop(first.id)


async def test_ended_run_is_kept_for_any_time(make_runs: MakeRuns) -> None:
    runs = await make_runs(retention=1e308)
    run = await runs.start(count_to_three, "ada")
    await follow(runs.broker, run.topic)

    assert await status_of(runs, run) == "done"


async def test_ended_run_and_its_key_expire(broker: Broker, make_runs: MakeRuns) -> None:
    runs = await make_runs(retention=0.05)
    running = await runs.start(Recorder(), "ada", key="running")
    ended = await runs.start(count_to_three, "ada", key="ended")
    await follow(broker, ended.topic)

    with fail_after(TIMEOUT):
        while await runs.find(ended.id):
            await asyncio.sleep(0.01)

    assert (await runs.start(count_to_three, "ada", key="ended")).id != ended.id
    assert (await runs.start(count_to_three, "ada", key="running")).id == running.id
    assert await status_of(runs, running) == "running"


@pytest.mark.skipif(not CHAT, reason="no chat")
async def test_expired_run_leaves_its_name_to_the_newest(
    broker: Broker, make_runs: MakeRuns
) -> None:
    runs = await make_runs(retention=0.05)
    expired = await runs.start(count_to_three, "ada", name="chat")
    await follow(broker, expired.topic)
    newest = await runs.start(Recorder(), "ada", name="chat")

    with fail_after(TIMEOUT):
        while await runs.find(expired.id):
            await asyncio.sleep(0.01)

    found = await runs.find_named("chat")
    assert found
    assert found.id == newest.id


# A slow broker.


@pytest.fixture
def slow(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make publishing wait; return a function that lets it go on."""
    go_on = asyncio.Event()
    publish = broker.publish_all

    async def publish_later(*arguments: Any) -> list[str]:
        await go_on.wait()
        return await publish(*arguments)

    monkeypatch.setattr(broker, "publish_all", publish_later)
    return go_on.set


async def test_run_does_not_wait_for_a_slow_broker(
    broker: Broker, runs: Runs, slow: Callable[[], None]
) -> None:
    yielded = 0

    async def count(topic: str) -> Work:
        nonlocal yielded
        for number in range(3 * BUFFER):
            await asyncio.sleep(0)
            yielded += 1
            yield number

    run = await runs.start(count, "ada")
    await wait_all_tasks_blocked()
    ahead = yielded
    slow()

    *events, _ = await follow(broker, run.topic)
    assert BUFFER <= ahead <= 2 * BUFFER
    assert [json.loads(event.data) for event in events] == list(range(3 * BUFFER))


async def test_stop_while_the_broker_is_slow_keeps_the_order(
    broker: Broker, runs: Runs, slow: Callable[[], None]
) -> None:
    run = await runs.start(Recorder(*range(10)), "ada")
    await wait_all_tasks_blocked()

    await runs.stop(run.id)
    await wait_all_tasks_blocked()
    slow()

    *events, last = await follow(broker, run.topic)
    assert [json.loads(event.data) for event in events] == list(range(10))
    assert end_of(last) == (DONE, "stopped")
