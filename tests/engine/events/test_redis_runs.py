"""Runs of several processes: shown, stopped and ended by any of them."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import pytest
from anyio import fail_after, wait_all_tasks_blocked
from redis.exceptions import ConnectionError as RedisConnectionError

from streaming_api.streaming.events import redis_runs as module
from streaming_api.streaming.events.broker import Broker
from streaming_api.streaming.events.redis_runs import RedisRuns
from streaming_api.streaming.events.runs import Run, Runs
from streaming_api.streaming.events.wire import DONE, STREAM_ERROR
from streaming_api.streaming.registry import Streams

from ..variant import REQUEST_ID
from .conftest import MakeBroker
from .subscriptions import TIMEOUT
from .test_redis import lose_data
from .test_runs import Recorder, count_to_three, end_of, follow, status_of

if REQUEST_ID:
    from streaming_api.streaming.headers import request_id

pytestmark = pytest.mark.anyio

DEAD = "The process of the run ended."
NewProcess = Callable[[], RedisRuns]


@pytest.fixture
async def new_process(make_broker: MakeBroker) -> AsyncIterator[NewProcess]:
    """A function that returns the runs of a process; leases are renewed inside of `async with`."""
    made: list[RedisRuns] = []

    def make() -> RedisRuns:
        broker: Any = make_broker()
        streams = Streams(send_timeout=30, max_seconds=0, max_per_client=20, grace=0)
        runs = RedisRuns(broker, streams, max_runs=1000, max_per_client=20, retention=3600)
        made.append(runs)
        return runs

    yield make
    for runs in made:
        await Runs.__aexit__(runs)


@pytest.fixture
async def processes(new_process: NewProcess) -> AsyncIterator[tuple[RedisRuns, RedisRuns]]:
    """The runs of two processes."""
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(new_process()) for _ in range(2)]
        yield one, other


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leases expire soon."""
    monkeypatch.setattr(module, "LEASE_MILLISECONDS", 200)
    monkeypatch.setattr(module, "RENEWAL_SECONDS", 0.02)


async def start_work(runs: RedisRuns) -> tuple[Recorder, Run]:
    """Start a run, and return it after its first event."""
    work = Recorder(1)
    run = await runs.start(work, "ada")
    await follow(runs.broker, run.topic, until=1)
    return work, run


async def test_run_is_shown_and_stopped_by_another_process(
    processes: tuple[RedisRuns, RedisRuns], broker: Broker
) -> None:
    one, other = processes
    work, run = await start_work(one)

    assert await status_of(other, run) == "running"
    with fail_after(1):
        assert await other.stop(run.id)
        await work.cleaned.wait()

    *_, last = await follow(broker, run.topic)
    assert end_of(last) == (DONE, "stopped")
    assert await status_of(one, run) == await status_of(other, run) == "stopped"


async def test_key_is_known_to_another_process(processes: tuple[RedisRuns, RedisRuns]) -> None:
    one, other = processes
    starting = [each.start(count_to_three, "ada", key="k", body="{}") for each in (one, other)]

    first, again = await asyncio.gather(*starting)

    assert first.id == again.id
    with pytest.raises(Exception, match="another body"):
        await other.start(count_to_three, "ada", key="k", body="[]")


@pytest.mark.usefixtures("short_lease")
async def test_run_of_dead_process_ends_with_stream_error(
    new_process: NewProcess, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    dead = new_process()
    if REQUEST_ID:
        request_id.set("0190163d-8694-739b-aea5-966c26f8ad91")
    run = await dead.start(Recorder(1), "ada")

    async with new_process() as one, new_process():
        *_, last = await follow(broker, run.topic)

        assert await status_of(one, run) == "failed"
    assert end_of(last) == (STREAM_ERROR, DEAD)
    if REQUEST_ID:
        assert json.loads(last.data)["request_id"] == "0190163d-8694-739b-aea5-966c26f8ad91"
    assert f"run of a dead process ended id={run.id} status=failed" in caplog.text


@pytest.mark.usefixtures("short_lease")
async def test_run_of_dead_process_is_ended_as_it_was_stopped(
    new_process: NewProcess, broker: Broker
) -> None:
    run = await new_process().start(Recorder(1), "ada")

    async with new_process() as runs:
        await runs.stop(run.id)
        *_, last = await follow(broker, run.topic)

    assert end_of(last) == (DONE, "stopped")


@pytest.mark.usefixtures("short_lease")
async def test_renewed_lease_keeps_a_run(
    processes: tuple[RedisRuns, RedisRuns], broker: Broker
) -> None:
    one, other = processes
    work = Recorder(1)
    run = await one.start(work, "ada")

    await asyncio.sleep(3 * module.LEASE_MILLISECONDS / 1000)

    assert await status_of(other, run) == "running"
    assert not work.cleaning.is_set()


@pytest.mark.usefixtures("short_lease")
async def test_process_that_lost_its_lease_closes_its_run(
    new_process: NewProcess, broker: Broker
) -> None:
    work = Recorder(1)
    suspended = new_process()
    run = await suspended.start(work, "ada")
    async with new_process():
        *_, last = await follow(broker, run.topic)

    async with suspended:
        with fail_after(TIMEOUT):
            await work.cleaned.wait()

    assert end_of(last) == (STREAM_ERROR, DEAD)
    assert await status_of(suspended, run) == "failed"


@pytest.mark.usefixtures("short_lease")
async def test_run_continues_after_redis_lost_its_data(
    processes: tuple[RedisRuns, RedisRuns], broker: Broker
) -> None:
    one, other = processes
    work, run = await start_work(one)

    async with one.broker.connection() as redis:
        await lose_data(redis)
    with fail_after(TIMEOUT):
        while await status_of(other, run) != "running":
            await asyncio.sleep(0.01)

    assert not work.cleaning.is_set()
    with fail_after(TIMEOUT):
        await other.stop(run.id)
        await work.cleaned.wait()
    assert await status_of(one, run) == "stopped"


@pytest.mark.usefixtures("short_lease")
async def test_end_that_redis_missed_is_published_later(
    new_process: NewProcess,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with new_process() as runs:
        finish = runs.broker.finish

        async def fail_once(*_: object) -> None:
            monkeypatch.setattr(runs.broker, "finish", finish)
            raise RedisConnectionError("the connection is lost")

        monkeypatch.setattr(runs.broker, "finish", fail_once)
        run = await runs.start(count_to_three, "ada")

        *_, last = await follow(broker, run.topic)

    assert f"run not ended id={run.id}" in caplog.text
    assert end_of(last) == (DONE, "done")


@pytest.mark.usefixtures("short_lease")
async def test_missed_end_is_published_after_redis_lost_data(
    new_process: NewProcess, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with new_process() as runs:

        async def fail(*_: object) -> None:
            async with runs.broker.connection() as redis:
                await lose_data(redis)
            raise RedisConnectionError("the connection is lost")

        with monkeypatch.context() as patch:
            patch.setattr(runs.broker, "finish", fail)
            run = await runs.start(count_to_three, "ada")
            await asyncio.wait(runs._tasks)

        *_, last = await follow(broker, run.topic)

    assert last.name == STREAM_ERROR


async def test_leases_that_expire_while_redis_is_unavailable_are_extended(
    new_process: NewProcess, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEWAL_SECONDS", 0.02)
    monkeypatch.setattr(module, "LEASE_MILLISECONDS", 0)
    run = await new_process().start(Recorder(1), "ada")
    monkeypatch.setattr(module, "LEASE_MILLISECONDS", 300)
    call = RedisRuns._call

    async def fail_once(*_: object) -> None:
        monkeypatch.setattr(RedisRuns, "_call", call)
        raise RedisConnectionError("the connection is lost")

    monkeypatch.setattr(RedisRuns, "_call", fail_once)
    started = monotonic()
    async with new_process():
        *_, last = await follow(broker, run.topic)

    assert end_of(last) == (STREAM_ERROR, DEAD)
    assert monotonic() - started >= 0.3


@pytest.mark.usefixtures("short_lease")
async def test_unavailable_redis_is_logged_once_and_renewals_go_on(
    new_process: NewProcess,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, module.logger.name)
    failing, calls = asyncio.Event(), 0
    call = RedisRuns._call

    async def fail_twice(self: RedisRuns, script: str, *arguments: Any) -> Any:
        nonlocal calls
        if script == "renew_runs" and calls < 2:
            calls += 1
            raise RedisConnectionError("the connection is lost")
        failing.set()
        return await call(self, script, *arguments)

    monkeypatch.setattr(RedisRuns, "_call", fail_twice)
    async with new_process():
        with fail_after(TIMEOUT):
            await failing.wait()

    records = [each.levelname for each in caplog.records if "not renewed" in each.getMessage()]
    assert records == ["WARNING", "DEBUG"]


async def test_stopped_run_that_is_gone_here_is_ignored(
    processes: tuple[RedisRuns, RedisRuns], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = processes
    renewed = asyncio.Event()
    call = RedisRuns._call

    async def answer_late(self: RedisRuns, script: str, *arguments: Any) -> Any:
        if script != "renew_runs":
            return await call(self, script, *arguments)
        if renewed.is_set():
            await asyncio.Event().wait()
        renewed.set()
        return [b"gone"], []

    monkeypatch.setattr(RedisRuns, "_call", answer_late)
    with fail_after(TIMEOUT):
        await renewed.wait()
    await wait_all_tasks_blocked()

    assert not one._renewing.done()
