"""sse-starlette, with a queue per client."""

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

clients: set[asyncio.Queue[str]] = set()


async def follow() -> AsyncIterator[dict[str, str]]:
    """Yield the events for one client."""
    queue = asyncio.Queue[str]()
    clients.add(queue)
    try:
        while True:
            yield {"data": await queue.get()}
    finally:
        clients.discard(queue)


async def events(_request: Request) -> EventSourceResponse:
    """Follow the events."""
    return EventSourceResponse(follow())


async def publish(request: Request) -> Response:
    """Publish an event, `n` times."""
    event = (await request.body()).decode()
    for _ in range(int(request.query_params.get("n", 1))):
        for queue in clients:
            queue.put_nowait(event)
    return Response()


app = Starlette(
    routes=[
        Route("/events", events),
        Route("/publish", publish, methods=["POST"]),
        Route("/burst", publish, methods=["POST"]),
    ]
)
