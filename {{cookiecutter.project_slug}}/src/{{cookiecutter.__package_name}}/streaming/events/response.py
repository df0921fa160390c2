"""The response that streams events to a browser's `EventSource` or any other client."""

from collections.abc import Sequence
from secrets import randbelow

from anyio import CancelScope
from starlette.types import Receive, Send

#{% if cookiecutter.__uses.request_id %}
from ..headers import request_id
#{% endif %}
from ..registry import Chunk, Reason, Stream
from ..response import StreamResponse, until_disconnected
from .broker import Broker
from .fanout import Fanout, ObservedSend, Subscriber
from .subscription import Subscription
from .wire import RESET, STREAM_ERROR, encode_event, encode_json, encode_ready

RETRY_MILLISECONDS = 2000


class EventStreamResponse(StreamResponse):
    """An endless stream of events, which clients resume by `Last-Event-ID`.

    It starts with `ready`, and ends when all topics are finished.
    """

    media_type = "text/event-stream"
    items_name = "events"
    endless = True

    def __init__(
        self,
        broker: Broker,
        fanout: Fanout,
        topics: Sequence[str],
        last_event_id: str | None,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-cache"})
        self._broker = broker
        self._fanout = fanout
        self._topics = tuple(topics)
        self._last_event_id = last_event_id

    def closing(self, reason: Reason | None) -> bytes | None:
        """Return when to reconnect, or what failed; a client that is too slow is cut off."""
        if reason is Reason.SLOW_READER:
            return None
        if reason is Reason.ERROR:
            problem = {"title": "The stream failed."}
#{% if cookiecutter.__uses.request_id %}
            problem["request_id"] = request_id.get()
#{% endif %}
            return encode_event(encode_json(problem), name=STREAM_ERROR)
        # Jitter: otherwise all clients of a server that shuts down reconnect at the same time.
        return b"retry: %d\n\n" % (RETRY_MILLISECONDS // 2 + randbelow(RETRY_MILLISECONDS * 2))

    async def send_body(self, stream: Stream, receive: Receive, send: Send) -> None:
        """Send `ready`, then leave the events to the fan-out until the client disconnects."""
        async with self._broker.subscribe(self._topics, self._last_event_id) as subscription:
            observed = ObservedSend(send)
            await self.send_chunk(stream, observed, Chunk(opening(self._topics, subscription), 0))
            steps = not observed.waited
            subscriber = Subscriber(self._fanout, self._topics, subscription, stream, send, steps)
            try:
                with self._fanout.serving(subscriber):
                    await until_disconnected(receive)
                    # The server reports the end of the response as a disconnect, too.
                    await subscriber.settle()
                    stream.end(Reason.CLIENT_DISCONNECT)
            finally:
                stream.disarm()
                with CancelScope(shield=True):
                    await subscriber.close()


def opening(topics: Sequence[str], subscription: Subscription) -> bytes:
    """Return the first bytes of a stream."""
    names = encode_json({"topics": topics})
    if not subscription.reset:
        return encode_ready(names, id=subscription.position, retry=RETRY_MILLISECONDS)
    # `ready` has no id, so a client that is cut off before `reset` is told of the loss again.
    ready = encode_ready(names, id=None, retry=RETRY_MILLISECONDS)
    return ready + encode_event(names, name=RESET, id=subscription.position)
