"""The Server-Sent Events of FastAPI, with a queue per client."""

import asyncio
from collections.abc import AsyncIterable
from typing import Any

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

app = FastAPI()
clients: set[asyncio.Queue[Any]] = set()


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterable[ServerSentEvent]:
    """Follow the events."""
    queue = asyncio.Queue[Any]()
    clients.add(queue)
    try:
        while True:
            yield ServerSentEvent(data=await queue.get())
    finally:
        clients.discard(queue)


@app.post("/publish")
async def publish(event: dict[str, Any]) -> None:
    """Publish an event."""
    for queue in clients:
        queue.put_nowait(event)


@app.post("/burst")
async def burst(event: dict[str, Any], n: int) -> None:
    """Publish an event `n` times."""
    for _ in range(n):
        await publish(event)
