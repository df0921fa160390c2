"""The Server-Sent Events of Litestar, from its channels."""

from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, get, post
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from litestar.response import ServerSentEvent


@get("/events")
async def events(channels: ChannelsPlugin) -> ServerSentEvent:
    """Follow the events."""

    async def follow() -> AsyncIterator[bytes]:
        async with channels.start_subscription("benchmark") as subscriber:
            async for event in subscriber.iter_events():
                yield event

    return ServerSentEvent(follow())


@post("/publish")
async def publish(data: dict[str, Any], channels: ChannelsPlugin) -> None:
    """Publish an event."""
    channels.publish(data, "benchmark")


@post("/burst")
async def burst(data: dict[str, Any], n: int, channels: ChannelsPlugin) -> None:
    """Publish an event `n` times."""
    for _ in range(n):
        channels.publish(data, "benchmark")


app = Litestar(
    [events, publish, burst],
    plugins=[ChannelsPlugin(MemoryChannelsBackend(), channels=["benchmark"])],
)
