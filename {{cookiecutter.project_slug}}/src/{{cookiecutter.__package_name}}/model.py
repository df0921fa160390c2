"""The language model: an echo that works offline, or an OpenAI-compatible server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from .settings import Settings
from .streaming import Part, ask_server, text_of


async def answer(
    messages: Sequence[Any],
    options: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[Part]:
    """Yield the answer to `messages` as it is generated: text, or a dict for anything else.

    Messages and options are those of OpenAI's API. `finally` and `async with` are completed at
    every end: also when the answer is stopped. Clients are sent the detail of an `HTTPException`,
    and of other exceptions nothing.
    """
    settings = settings or Settings()
    if settings.model_url:
        parts = ask_server(messages, options or {}, settings)
    else:
        parts = echo(messages, settings)
    async with aclosing(parts):
        async for part in parts:
            yield part


async def echo(messages: Sequence[Any], settings: Settings) -> AsyncGenerator[Part, None]:
    """Repeat the question, word by word."""
    words = f"You asked: {text_of(messages[-1])}".split(" ")
    for number, word in enumerate(words):
        if number == settings.model_fails_after > 0:
            raise RuntimeError(f"MODEL_FAILS_AFTER={number}")
        await asyncio.sleep(settings.model_pace_seconds)
        yield f" {word}" if number else word
