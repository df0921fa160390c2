"""OpenAI's Python client, asynchronous and not, with a real server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from anyio import fail_after, to_thread
from fastapi import FastAPI
from openai import AsyncOpenAI, OpenAI

from streaming_api.settings import Settings

from ..variant import TOKENS
from .script import TIMEOUT, Script

pytestmark = pytest.mark.anyio

QUESTION: Any = {"model": "echo", "messages": [{"role": "user", "content": "How are you?"}]}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A short heartbeat."""
    return settings.model_copy(update={"heartbeat_seconds": 0.05, "max_stream_seconds": TIMEOUT})


@pytest.fixture
def client(script: Script, server: str) -> Iterator[OpenAI]:
    """The synchronous client."""
    with OpenAI(base_url=f"{server}/v1", api_key="key", max_retries=0, timeout=TIMEOUT) as client:
        yield client


@pytest.fixture
async def async_client(script: Script, server: str) -> AsyncIterator[AsyncOpenAI]:
    """The asynchronous client."""
    url = f"{server}/v1"
    async with AsyncOpenAI(base_url=url, api_key="key", max_retries=0, timeout=TIMEOUT) as client:
        yield client


async def wait(event: Any) -> None:
    """Wait for an event of another thread."""
    assert await to_thread.run_sync(event.wait, TIMEOUT)


def test_models_are_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["echo"]


def test_completion_is_read(client: OpenAI) -> None:
    completion = client.chat.completions.create(**QUESTION)

    assert completion.choices[0].message.content == "Hello big world"
    assert completion.usage
    assert completion.usage.total_tokens == 6


def test_stream_is_read(client: OpenAI) -> None:
    with client.chat.completions.create(**QUESTION, stream=True) as stream:
        texts = [chunk.choices[0].delta.content for chunk in stream]

    assert texts == ["", "Hello", " big", " world", None]


def test_helper_for_streams_builds_the_completion(client: OpenAI, script: Script) -> None:
    function = {"name": "f", "arguments": "{}"}
    script.parts += [
        {"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": function}]}
    ]

    with client.chat.completions.stream(**QUESTION) as stream:
        completion = stream.get_final_completion()

    message = completion.choices[0].message
    assert message.content == "Hello big world"
    assert message.tool_calls
    assert message.tool_calls[0].function.name == "f"


def test_unknown_model_raises_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(**QUESTION | {"model": "other"})

    assert error.value.code == "model_not_found"


def test_several_choices_raise_bad_request(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(**QUESTION, n=2)

    assert error.value.param == "n"


def test_limit_raises_rate_limit_error(app: FastAPI, client: OpenAI) -> None:
    app.state.runs.max_per_client = 0

    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**QUESTION, stream=True)


def test_failure_before_first_part_raises_server_error(client: OpenAI, script: Script) -> None:
    script.parts, script.failure = [], LookupError()

    with pytest.raises(openai.InternalServerError, match="The model failed to answer"):
        client.chat.completions.create(**QUESTION, stream=True)


def test_failure_after_first_part_raises_error(client: OpenAI, script: Script) -> None:
    script.failure = LookupError()
    stream = client.chat.completions.create(**QUESTION, stream=True)
    texts = [next(stream).choices[0].delta.content for _ in range(4)]

    with pytest.raises(openai.APIError, match="The model failed to answer"):
        next(stream)

    assert texts == ["", "Hello", " big", " world"]


@pytest.mark.skipif(not TOKENS, reason="needs tokens")
@pytest.mark.parametrize(
    "settings", [{"api_tokens": {"key": ["events", "publish"]}}], indirect=True
)
def test_key_is_a_token(client: OpenAI) -> None:
    assert client.chat.completions.create(**QUESTION).choices

    with pytest.raises(openai.AuthenticationError) as error:
        client.with_options(api_key="other").chat.completions.create(**QUESTION)

    assert error.value.code == "invalid_api_key"


async def test_first_part_arrives_while_answer_goes_on(
    async_client: AsyncOpenAI, script: Script
) -> None:
    script.waits = True
    stream = await async_client.chat.completions.create(**QUESTION, stream=True)
    with fail_after(TIMEOUT):
        texts = [(await anext(stream)).choices[0].delta.content for _ in range(4)]

        assert texts == ["", "Hello", " big", " world"]
        assert not script.closed.is_set()
        script.may_go_on.set()
        (last,) = [chunk async for chunk in stream]

    assert last.choices[0].finish_reason == "stop"


async def test_heartbeats_precede_a_late_part(async_client: AsyncOpenAI, script: Script) -> None:
    script.parts, script.waits = [], True
    completions = async_client.chat.completions.with_streaming_response
    async with completions.create(**QUESTION, stream=True) as response:
        lines = response.iter_lines()
        first = await anext(lines)
        script.may_go_on.set()
        rest = [line async for line in lines]

    assert first == ": heartbeat"
    assert rest[-2] == "data: [DONE]"


async def test_heartbeats_are_ignored(async_client: AsyncOpenAI, script: Script) -> None:
    script.parts, script.waits = [], True
    stream = await async_client.chat.completions.create(**QUESTION, stream=True)
    script.may_go_on.set()

    assert [chunk.choices[0].finish_reason async for chunk in stream] == [None, "stop"]


async def test_client_that_leaves_stream_stops_the_model(
    async_client: AsyncOpenAI, script: Script
) -> None:
    script.waits = True
    stream = await async_client.chat.completions.create(**QUESTION, stream=True)
    await anext(stream)

    await stream.close()

    await wait(script.closed)


async def test_client_that_leaves_completion_stops_the_model(
    async_client: AsyncOpenAI, script: Script
) -> None:
    script.waits = True
    asking = asyncio.create_task(async_client.chat.completions.create(**QUESTION))
    await wait(script.waiting)

    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking

    await wait(script.closed)


async def test_stopped_run_ends_stream(
    async_client: AsyncOpenAI, script: Script, server: str
) -> None:
    script.waits = True
    stream = await async_client.chat.completions.create(**QUESTION, stream=True)
    first = await anext(stream)
    id = first.id.removeprefix("chatcmpl-")

    await async_client.with_options(base_url=server).delete(f"/runs/{id}", cast_to=type(None))
    *_, last = [chunk async for chunk in stream]

    assert last.choices[0].finish_reason == "stop"
    await wait(script.closed)


@pytest.mark.parametrize("settings", [{"max_stream_seconds": 0.2}], indirect=True)
async def test_stream_at_its_time_limit_ends_with_error(
    async_client: AsyncOpenAI, script: Script
) -> None:
    script.waits = True
    stream = await async_client.chat.completions.create(**QUESTION, stream=True)

    with pytest.raises(openai.APIError, match="ended by the server"):
        _ = [chunk async for chunk in stream]

    await wait(script.closed)
