"""The client of an OpenAI-compatible server: parts, failures, and the end of the connection."""

import asyncio
from typing import Any

import pytest
from anyio import fail_after
from fastapi import HTTPException

from streaming_api.settings import Settings
from streaming_api.streaming import Part, ask_server

from .script import TIMEOUT
from .server import (
    DONE,
    END,
    HEAD,
    STALL,
    Upstream,
    chunk,
    data_of,
    event,
    refusal,
    serving,
)

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hello"}]
TEXT = "Über 🎉 ça"
WHOLE = event({"role": "assistant", "content": ""}) + event({"content": TEXT}) + event({}, "stop")
FIRST = [HEAD, chunk(event({"content": "one"}))]


def settings_of(upstream: Upstream, **more: Any) -> Settings:
    """Return settings with the server as the model."""
    return Settings(model_url=upstream.url, model_name="m", **more)


async def collect(upstream: Upstream, options: dict[str, Any] | None = None) -> list[Part]:
    """Return all parts of an answer."""
    parts = ask_server(MESSAGES, options or {}, settings_of(upstream))
    with fail_after(TIMEOUT):
        return [part async for part in parts]


async def failure_of(upstream: Upstream, **more: Any) -> tuple[list[Part], int, str]:
    """Return the parts that precede the failure of an answer, its status and its detail."""
    received: list[Part] = []
    try:
        with fail_after(TIMEOUT):
            async for part in ask_server(MESSAGES, {}, settings_of(upstream, **more)):
                received.append(part)
    except HTTPException as failure:
        return received, failure.status_code, failure.detail
    raise AssertionError(received)


async def test_request_has_messages_options_and_key() -> None:
    async with serving([HEAD, chunk(WHOLE + DONE), END]) as upstream:
        settings = settings_of(upstream, model_api_key="secret")
        parts = ask_server(MESSAGES, {"temperature": 0.5, "stop": ["x"]}, settings)
        async for _ in parts:
            pass

    expected = {"model": "m", "messages": MESSAGES, "stream": True}
    assert upstream.requests == [{**expected, "temperature": 0.5, "stop": ["x"]}]
    assert "authorization: bearer secret\r\n" in upstream.heads[0]


async def test_bytes_split_anywhere_are_joined() -> None:
    pieces = [chunk(bytes([byte])) for byte in WHOLE + DONE]
    async with serving([HEAD, *pieces, END]) as upstream:
        parts = await collect(upstream)

    assert parts == [TEXT, {"finish_reason": "stop"}]


async def test_tool_calls_and_usage_are_passed_on() -> None:
    call = {"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    events = [event({"tool_calls": [call]}), event({}, "tool_calls")]
    last = data_of({"choices": [], "usage": usage})
    async with serving([HEAD, chunk(b"".join(events) + last + DONE), END]) as upstream:
        parts = await collect(upstream)

    assert parts == [{"tool_calls": [call]}, {"finish_reason": "tool_calls"}, {"usage": usage}]


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param([], id="in-chunks"),
        pytest.param([END], id="without-finish"),
        pytest.param([b"20\r\ndata: {"], id="in-event"),
    ],
)
async def test_answer_that_breaks_off_fails(rest: list[bytes]) -> None:
    async with serving([*FIRST, *rest]) as upstream:
        parts, status, _ = await failure_of(upstream)

    assert (parts, status) == (["one"], 502)
    assert len(upstream.requests) == 1


async def test_error_within_answer_fails_without_details() -> None:
    error = data_of({"choices": [], "error": {"message": "secret", "type": "x"}})
    async with serving([*FIRST, chunk(error), END]) as upstream:
        parts, status, detail = await failure_of(upstream)

    assert (parts, status) == (["one"], 502)
    assert "secret" not in detail


async def test_silent_server_fails_and_is_disconnected() -> None:
    async with serving([*FIRST, STALL]) as upstream:
        parts, status, _ = await failure_of(upstream, model_timeout_seconds=0.1)
        with fail_after(TIMEOUT):
            await upstream.disconnected.wait()

    assert (parts, status) == (["one"], 502)


@pytest.mark.parametrize(
    ("status", "expected", "detail"),
    [
        (400, 400, "too long"),
        (429, 429, "too long"),
        (401, 502, "The model is unavailable."),
        (404, 502, "The model is unavailable."),
        (503, 502, "The model is unavailable."),
    ],
)
async def test_refusal_has_status_for_client(status: int, expected: int, detail: str) -> None:
    async with serving(refusal(status, "too long")) as upstream:
        failure = await failure_of(upstream)

    assert failure == ([], expected, detail)


async def test_refusal_without_message_has_one() -> None:
    refused = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    async with serving([refused]) as upstream:
        failure = await failure_of(upstream)

    assert failure == ([], 400, "The model rejected the request.")


async def test_request_is_repeated_before_answer_begins() -> None:
    busy = refusal(503, "busy", **{"x-should-retry": "true", "retry-after-ms": "1"})
    async with serving(busy, [HEAD, chunk(WHOLE + DONE), END]) as upstream:
        parts = await collect(upstream)

    assert parts[0] == TEXT
    assert len(upstream.requests) == 2


async def test_closed_answer_closes_connection_at_once() -> None:
    async with serving([*FIRST, STALL]) as upstream:
        parts = ask_server(MESSAGES, {}, settings_of(upstream))
        assert await anext(parts) == "one"

        await parts.aclose()

        with fail_after(TIMEOUT):
            await upstream.disconnected.wait()


async def test_cancelled_answer_closes_connection_at_once() -> None:
    async with serving([*FIRST, STALL]) as upstream:
        received = asyncio.Event()

        async def read() -> None:
            async for _ in ask_server(MESSAGES, {}, settings_of(upstream)):
                received.set()

        reading = asyncio.create_task(read())
        with fail_after(TIMEOUT):
            await received.wait()
            reading.cancel()
            await upstream.disconnected.wait()
            await asyncio.wait([reading])
