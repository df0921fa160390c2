"""The client of an OpenAI-compatible server, which generates the answers."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fastapi import HTTPException
from openai import AsyncOpenAI, BadRequestError, OpenAIError, RateLimitError

from .answers import Part


async def ask_server(
    messages: Sequence[Any], options: Mapping[str, Any], settings: Any
) -> AsyncGenerator[Part, None]:
    """Yield the answer of the server at `model_url`: texts, and other members of its deltas.

    The connection is closed with the generator. Raises `HTTPException`: 400 and 429 of the server,
    otherwise 502.
    """
    key = settings.model_api_key.get_secret_value()
    loop = asyncio.get_running_loop()
    client = client_of(settings.model_url, key, settings.model_timeout_seconds, loop)
    create: Any = client.chat.completions.create
    request = {"model": settings.model_name, "messages": messages, "extra_body": options}
    is_complete = False
    try:
        async with await create(stream=True, **request) as chunks:
            async for chunk in chunks:
                if chunk.usage:
                    yield {"usage": chunk.usage.model_dump(exclude_none=True)}
                for choice in chunk.choices:
                    delta = choice.delta.model_dump(exclude={"role"}, exclude_none=True)
                    if text := delta.pop("content", ""):
                        yield text
                    if choice.finish_reason:
                        is_complete = True
                        delta["finish_reason"] = choice.finish_reason
                    if delta:
                        yield delta
    except (BadRequestError, RateLimitError) as error:
        raise HTTPException(error.status_code, message_of(error)) from error
    except OpenAIError as error:
        raise HTTPException(502, "The model is unavailable.") from error
    if not is_complete:
        raise HTTPException(502, "The model broke off its answer.")


def message_of(error: BadRequestError | RateLimitError) -> str:
    """Return the message of the server."""
    body = error.body if isinstance(error.body, dict) else {}
    return str(body.get("message") or "The model rejected the request.")


@lru_cache(maxsize=1)
def client_of(url: str, key: str, timeout: float, _: asyncio.AbstractEventLoop) -> AsyncOpenAI:
    """Return the client of an event loop, which repeats a request until its answer begins.

    `timeout` is the time in seconds for which the server may be silent.
    """
    return AsyncOpenAI(base_url=url, api_key=key or "none", timeout=timeout)
