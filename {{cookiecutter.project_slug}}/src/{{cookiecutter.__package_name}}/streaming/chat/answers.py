"""Answers of a language model: runs, which are followed from their first part."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from inspect import isasyncgenfunction, signature
from typing import Any

import msgspec
from fastapi import HTTPException, Request
from fastapi.sse import ServerSentEvent

from ..events.broker import EARLIEST
from ..events.run_routes import caller_of
from ..events.runs import Run, Runs
from ..events.wire import DONE, STREAM_ERROR, encode_json
from ..routes import StreamRoute

Part = str | dict[str, Any]
"""A part of an answer: text, or members of the protocol of the clients."""

PART = "part"
"""The name of events whose data is a part that is no text."""
SNAPSHOT = "snapshot"
"""The name of events whose data is all parts so far, so that history need not reach further."""
FAILURE = "failure"
"""The name of an event whose data is a status and a message for the client."""
LOST = "The answer is no longer in history."


class AnswerStopped(Exception):
    """An answer was stopped before its end."""


class ChatRoute(StreamRoute):
    """A route whose body is a conversation of up to `max_chat_bytes`."""

    def get_route_handler(self) -> Any:
        """Return the handler of the route."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Any:
            request.scope["max_body_bytes"] = request.app.state.settings.max_chat_bytes
            return await handler(request)

        return handle


def require_generator(answer: Callable[..., Any]) -> None:
    """Raise `ValueError` unless `answer` is an async generator function."""
    if not isasyncgenfunction(answer):
        raise ValueError(f"Invalid answer {answer!r}: expected an async generator function")


def call(
    answer: Callable[..., Any], messages: Sequence[Any], **more: Any
) -> AsyncGenerator[Part, None]:
    """Call `answer` with `messages`, and with those of `more` that it has as parameters.

    Raises `HTTPException` (422) for messages with text that is not Unicode.
    """
    try:
        encode_json(messages)
    except ValueError as error:
        raise HTTPException(422, f"Invalid messages: {error}") from None
    accepted = signature(answer).parameters.keys() & more.keys()
    parts: AsyncGenerator[Part, None] = answer(messages, **{name: more[name] for name in accepted})
    return parts


async def start(request: Request, parts: AsyncGenerator[Part, None], *, name: str = "") -> Run:
    """Start a run that yields `parts`. Raises `HTTPException` as `Runs.start` does."""
    runs: Runs = request.app.state.runs
    interval = max(1, request.app.state.settings.event_history // 2)
    return await runs.start(lambda _: events_of(parts, interval), caller_of(request), name=name)


async def events_of(parts: AsyncGenerator[Part, None], interval: int) -> AsyncGenerator[Any, None]:
    """Yield the events of an answer: its parts, a snapshot every `interval` parts, its failure.

    The first event is an empty snapshot.
    """
    so_far: list[Part] = []
    number = 0
    try:
        async with aclosing(parts):
            yield ServerSentEvent(data=[], event=SNAPSHOT)
            async for part in parts:
                yield part if isinstance(part, str) else ServerSentEvent(data=part, event=PART)
                so_far.append(part)
                number += 1
                if number % interval == 0:
                    so_far = joined(so_far)
                    yield ServerSentEvent(data=list(so_far), event=SNAPSHOT)
    except Exception as error:
        status, message = 500, "The model failed to answer."
        if isinstance(error, HTTPException):
            status, message = error.status_code, error.detail
        yield ServerSentEvent(data={"status_code": status, "detail": message}, event=FAILURE)
        raise


def joined(parts: Iterable[Part]) -> list[Part]:
    """Return `parts` with neighbouring texts joined: `["a", "b", {…}]` → `["ab", {…}]`."""
    result: list[Part] = []
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        result += ["".join(texts), part] if texts else [part]
        texts = []
    return [*result, "".join(texts)] if texts else result


async def follow(request: Request, topic: str) -> AsyncGenerator[list[Part], None]:
    """Yield the parts of an answer as they come, from the first one.

    A list is empty if there was no part for `heartbeat_seconds`. Raises `HTTPException` if the
    answer failed, `AnswerStopped` if it was stopped, and `SlowReader`.
    """
    state = request.app.state
    async with state.broker.subscribe([topic], EARLIEST) as subscription:
        arrived = asyncio.Event()
        subscription.notify = arrived.set
        has_begun = False
        while True:
            arrived.clear()
            if not subscription.is_ready:
                try:
                    async with asyncio.timeout(state.settings.heartbeat_seconds):
                        await arrived.wait()
                except TimeoutError:
                    yield []
                continue
            parts: list[Part] = []
            events = subscription.take()
            if not events:
                raise HTTPException(503, LOST)
            for event in events:
                data = msgspec.json.decode(event.data)
                if event.name in (DONE, STREAM_ERROR, FAILURE):
                    if parts:
                        yield parts
                    raise_end(event.name, data, has_begun=has_begun)
                    return
                if event.name == SNAPSHOT and not has_begun:
                    has_begun = True
                    parts += data
                elif event.name in (None, PART) and has_begun:
                    parts.append(data)
            if parts:
                yield parts


def raise_end(name: str, data: dict[str, Any], *, has_begun: bool) -> None:
    """Raise the exception for the end of an answer, unless it is complete."""
    if name == FAILURE:
        raise HTTPException(**data)
    if name == STREAM_ERROR:
        raise HTTPException(503, data["title"])
    if data["status"] != "done":
        raise AnswerStopped
    if not has_begun:
        raise HTTPException(503, LOST)


def text_of(message: Any) -> str:
    """Return the text of a message, whose content is text or a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content)
