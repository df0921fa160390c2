"""Answers as runs: their events, and those that follow them from the first part."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest
from anyio import fail_after
from fastapi import FastAPI, HTTPException, Request
from fastapi.sse import ServerSentEvent

from streaming_api.settings import Settings
from streaming_api.streaming import text_of
from streaming_api.streaming.chat.answers import (
    AnswerStopped,
    Part,
    call,
    events_of,
    follow,
    joined,
    start,
)
from streaming_api.streaming.events.wire import encode_payload
from streaming_api.streaming.registry import SlowReader

from .script import TIMEOUT

pytestmark = pytest.mark.anyio

WORDS: list[Part] = [*"abc", {"n": 1}, *"defgh"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A short history, and few events that can wait."""
    limits = {"event_history": 4, "subscriber_buffer": 8, "heartbeat_seconds": 0.05}
    return settings.model_copy(update=limits)


@pytest.fixture
async def request_of_app(app: FastAPI) -> AsyncGenerator[Request, None]:
    """A request of the application, while it runs."""
    async with app.router.lifespan_context(app):
        user = SimpleNamespace(id="ada")
        yield Request({"type": "http", "app": app, "user": user, "client": ("127.0.0.1", 1)})


async def answer(*parts: Part) -> AsyncGenerator[Part, None]:
    """Yield parts, which are published one by one."""
    for part in parts:
        yield part
        await asyncio.sleep(0.001)


async def read(request: Request, topic: str, received: list[Part]) -> None:
    """Add the parts that a follower gets."""
    async for parts in follow(request, topic):
        received += parts


async def collect(request: Request, topic: str) -> list[Part]:
    """Return all parts that a follower gets."""
    received: list[Part] = []
    with fail_after(TIMEOUT):
        await read(request, topic, received)
    return joined(received)


def test_neighbouring_texts_are_joined() -> None:
    assert joined(WORDS) == ["abc", {"n": 1}, "defgh"]
    assert joined([{"n": 1}, {"n": 2}]) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hello", "Hello"),
        (None, ""),
        ([{"type": "text", "text": "Hel"}, {"type": "image_url"}, {"text": "lo"}], "Hello"),
    ],
)
def test_text_of_message_leaves_other_parts_out(content: Any, text: str) -> None:
    assert text_of({"role": "user", "content": content}) == text


async def test_answer_is_called_with_its_parameters_alone() -> None:
    async def plain(messages: Sequence[Any]) -> AsyncGenerator[Part, None]:
        yield str(messages)

    async def with_options(messages: object, options: object) -> AsyncGenerator[Part, None]:
        yield str(options)

    given = {"options": {"n": 1}, "settings": None}

    assert [part async for part in call(plain, ["m"], **given)] == ["['m']"]
    assert [part async for part in call(with_options, ["m"], **given)] == ["{'n': 1}"]


async def test_snapshots_are_events_in_between() -> None:
    events = [event async for event in events_of(answer("a", {"n": 1}, "b", "c"), 2)]

    assert events == [
        ServerSentEvent(data=[], event="snapshot"),
        "a",
        ServerSentEvent(data={"n": 1}, event="part"),
        ServerSentEvent(data=["a", {"n": 1}], event="snapshot"),
        "b",
        "c",
        ServerSentEvent(data=["a", {"n": 1}, "bc"], event="snapshot"),
    ]


async def test_follower_gets_parts_from_the_first(request_of_app: Request) -> None:
    run = await start(request_of_app, answer(*"ab", {"n": 1}))

    assert await collect(request_of_app, run.topic) == ["ab", {"n": 1}]


@pytest.mark.parametrize("number", range(1, 9))
async def test_late_follower_begins_with_snapshot(request_of_app: Request, number: int) -> None:
    has_begun, may_go_on = asyncio.Event(), asyncio.Event()

    async def parts() -> AsyncGenerator[Part, None]:
        async for part in answer(*WORDS[:number]):
            yield part
        has_begun.set()
        await may_go_on.wait()
        async for part in answer(*WORDS[number:]):
            yield part

    run = await start(request_of_app, parts())
    received: list[Part] = []
    with fail_after(TIMEOUT):
        await has_begun.wait()
        async for batch in follow(request_of_app, run.topic):
            received += batch
            if received:
                may_go_on.set()

    assert joined(received) == joined(WORDS)


async def test_idle_follower_gets_empty_lists(request_of_app: Request) -> None:
    may_end = asyncio.Event()

    async def parts() -> AsyncGenerator[Part, None]:
        await may_end.wait()
        yield "a"

    run = await start(request_of_app, parts())
    received = []
    with fail_after(TIMEOUT):
        async for batch in follow(request_of_app, run.topic):
            received.append(batch)
            may_end.set()

    assert (received[0], received[-1]) == ([], ["a"])


@pytest.mark.parametrize(
    ("failure", "status", "detail"),
    [
        (LookupError("secret"), 500, "The model failed to answer."),
        (HTTPException(429, "Slow down."), 429, "Slow down."),
    ],
)
async def test_failure_follows_the_parts(
    request_of_app: Request, failure: Exception, status: int, detail: str
) -> None:
    async def parts() -> AsyncGenerator[Part, None]:
        yield "a"
        raise failure

    run = await start(request_of_app, parts())
    received: list[Part] = []
    with fail_after(TIMEOUT), pytest.raises(HTTPException) as raised:
        await read(request_of_app, run.topic, received)

    assert received == ["a"]
    assert (raised.value.status_code, raised.value.detail) == (status, detail)


async def test_stopped_answer_is_reported(request_of_app: Request) -> None:
    async def parts() -> AsyncGenerator[Part, None]:
        yield "a"
        has_begun.set()
        await asyncio.Event().wait()

    has_begun = asyncio.Event()
    run = await start(request_of_app, parts())
    received: list[Part] = []
    with fail_after(TIMEOUT):
        await has_begun.wait()
        await request_of_app.app.state.runs.stop(run.id)
        with pytest.raises(AnswerStopped):
            await read(request_of_app, run.topic, received)

    assert received == ["a"]


async def test_run_without_process_is_a_failure(request_of_app: Request) -> None:
    broker = request_of_app.app.state.broker
    await broker.finish("run-1", {"title": "The process of the run ended."}, "stream-error")

    with pytest.raises(HTTPException, match="The process of the run ended"):
        await collect(request_of_app, "run-1")


async def test_answer_whose_beginning_is_lost_fails(request_of_app: Request) -> None:
    broker = request_of_app.app.state.broker
    await broker.publish("run-1", "a")
    await broker.finish("run-1", {"done": True, "status": "done"})

    with pytest.raises(HTTPException, match="no longer in history"):
        await collect(request_of_app, "run-1")


async def test_finished_topic_without_events_fails(
    request_of_app: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = request_of_app.app.state.broker
    await broker.finish("run-1", {"done": True, "status": "done"})
    monkeypatch.setattr("streaming_api.streaming.events.subscription.Subscription.take", list)

    with pytest.raises(HTTPException, match="no longer in history"):
        await collect(request_of_app, "run-1")


async def test_follower_that_lags_behind_is_slow(request_of_app: Request) -> None:
    broker = request_of_app.app.state.broker
    for topic in ("run-1", "run-2"):
        await broker.publish(topic, ["a"], "snapshot")

    with fail_after(TIMEOUT):
        async with (
            aclosing(follow(request_of_app, "run-1")) as slow,
            aclosing(follow(request_of_app, "run-2")) as other,
        ):
            assert await anext(slow) == await anext(other) == ["a"]
            await broker.publish_all("run-1", [encode_payload("b", None)] * 20)
            await broker.publish("run-2", "last")
            while await anext(other) != ["last"]:
                pass
            with pytest.raises(SlowReader):
                _ = [batch async for batch in slow]
