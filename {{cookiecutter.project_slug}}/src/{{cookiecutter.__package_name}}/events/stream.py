"""A subscription as a response that a browser's `EventSource` can follow."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from secrets import randbelow

from anyio import move_on_after

#{% if cookiecutter.request_id %}
from ..middleware.request_id import request_id
#{% endif %}
from ..streaming import Chunk, Reason, StreamResponse
from .broker import Broker, Subscription
from .wire import (
    HEARTBEAT,
    STREAM_ERROR,
    Event,
    encode_event,
    encode_json,
    encode_ready,
    encode_retry,
)

RETRY_MILLISECONDS = 2000
LARGEST_CHUNK = 64 * 1024


class EventStreamResponse(StreamResponse):
    """An endless stream of events, which a client that lost it resumes by `Last-Event-ID`."""

    media_type = "text/event-stream"
    items_name = "events"
    endless = True

    def __init__(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        super().__init__(chunks, {"Cache-Control": "no-cache"})

    def farewell(self, reason: Reason) -> bytes | None:
        """Say when to come back, or what failed; a client that is too slow cannot be told."""
        if reason is Reason.SLOW_READER:
            return None
        if reason is Reason.ERROR:
            problem = {"title": "The stream failed."}
#{% if cookiecutter.request_id %}
            problem["request_id"] = request_id.get()
#{% endif %}
            return encode_event(encode_json(problem), name=STREAM_ERROR)
        # All clients of a server that stops would otherwise reconnect in the same moment.
        return encode_retry(RETRY_MILLISECONDS // 2 + randbelow(RETRY_MILLISECONDS * 2))


async def event_stream(
    broker: Broker, topics: Sequence[str], last_event_id: str | None, heartbeat: float
) -> AsyncGenerator[Chunk, None]:
    """Yield `ready`, then every event from `last_event_id` on; a comment after `heartbeat` seconds idle.

    Ends when all topics are finished. Raises `SlowReader` as `Subscription.next` does.
    """
    async with broker.subscribe(topics, last_event_id) as subscription:
        yield Chunk(opening(topics, subscription), 0)
        while True:
            with move_on_after(heartbeat) as idle:
                events = await subscription.next()
            if idle.cancelled_caught:
                yield Chunk(HEARTBEAT, 0)
            elif not events:
                return
            else:
                for chunk in chunks(events, tagged=len(topics) > 1):
                    yield chunk


def opening(topics: Sequence[str], subscription: Subscription) -> bytes:
    """Return what every stream starts with."""
    names = encode_json({"topics": topics})
    if not subscription.reset:
        return encode_ready(names, id=subscription.position, retry=RETRY_MILLISECONDS)
    # A client that is cut off in between still has the id that tells of the loss.
    ready = encode_ready(names, id=None, retry=RETRY_MILLISECONDS)
    return ready + encode_event(names, name="reset", id=subscription.position)


def chunks(events: Sequence[Event], *, tagged: bool) -> Iterator[Chunk]:
    """Yield the bytes of `events`, joined up to `LARGEST_CHUNK`."""
    pieces: list[bytes] = []
    size = 0
    for event in events:
        piece = event.tagged if tagged else event.alone
        if pieces and size + len(piece) > LARGEST_CHUNK:
            yield Chunk(b"".join(pieces), len(pieces))
            pieces, size = [], 0
        pieces.append(piece)
        size += len(piece)
    yield Chunk(b"".join(pieces), len(pieces))
