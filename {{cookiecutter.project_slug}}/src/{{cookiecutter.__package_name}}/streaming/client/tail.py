"""Following topics, across reconnections."""

import re
import sys
from collections.abc import Callable, Sequence
from time import sleep
from typing import TextIO

import httpx2
import msgspec
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from ..events.wire import DONE, READY, RESET, STREAM_ERROR, require_topic
from .position import Position
from .service import ClientError, describe_error

RETRY_SECONDS = 2.0
"""Reconnection time until the service sets another."""
MAX_RETRY_SECONDS = 30.0
CONTROL = re.compile(r"[\x7f-\x9f]")


class Published(msgspec.Struct):
    """An event to print; `data` is the published JSON."""

    id: str
    event: str
    topic: str
    data: msgspec.Raw


class Multiplexed(msgspec.Struct):
    """The data of an event on a stream of several topics."""

    topic: str
    data: msgspec.Raw


class Failure(msgspec.Struct):
    """The data of a `stream-error`."""

    title: str


Show = Callable[[Published], object]


class Tail:
    """Follows `topics` from `position`, and reconnects whenever the stream breaks.

    An event is shown before `position` is set to it: a process shows each event once, and one that
    replaces a killed process may show the last one again. Raises `ClientError` for an invalid topic.
    """

    def __init__(
        self, client: httpx2.Client, topics: Sequence[str], position: Position, show: Show
    ) -> None:
        for topic in topics:
            try:
                require_topic(topic)
            except ValueError as error:
                raise ClientError(f"{error}.") from error
        self._client = client
        self._topics = list(dict.fromkeys(topics))
        self._open_topics = set(topics)
        self._position = position
        self._show = show
        self._retry = RETRY_SECONDS
        self._failures = 0

    def run(self) -> None:
        """Return when all topics are finished.

        Raises `ClientError` for permanent errors: a rejected request, or a `stream-error`.
        """
        while True:
            try:
                if self._follow():
                    return
                wait = self._retry
            except httpx2.SSEError as error:
                raise ClientError(f"The response is not an event stream: {error}") from error
            except httpx2.TransportError as error:
                wait = self._retry_delay(str(error) or type(error).__name__)
            except httpx2.HTTPStatusError as error:
                after = error.response.headers.get("retry-after", "")
                wait = self._retry_delay(str(error), int(after) if after.isdecimal() else 0)
            sleep(wait)

    def _retry_delay(self, reason: str, at_least: float = 0.0) -> float:
        """Print the reason of a reconnection; return the seconds to wait before it."""
        wait = max(at_least, min(MAX_RETRY_SECONDS, self._retry * 2.0**self._failures))
        self._failures += 1
        log(f"{reason} (reconnecting in {wait:g} s)")
        return wait

    def _follow(self) -> bool:
        """Follow a stream to its end; return whether all topics are finished."""
        first, *more = self._topics
        headers = {"Last-Event-ID": self._position.id} if self._position.id else {}
        with self._client.sse(
            f"/events/{first}", params={"topic": more}, headers=headers, max_event_size=None
        ) as source:
            response = source.response
            if response.status_code == 204:
                return True
            if response.status_code == 429 or response.status_code >= 500:
                message = describe_error(response)
                raise httpx2.HTTPStatusError(message, request=response.request, response=response)
            if response.status_code != 200:
                raise ClientError(describe_error(response))
            for event in source:
                self._failures = 0
                self._handle(event)
        return not self._open_topics

    def _handle(self, event: httpx2.ServerSentEvent) -> None:
        if event.retry is not None:
            self._retry = event.retry / 1000
        if not event.data:  # as browsers do
            return
        # An event of the stream, not of a topic, has no new id.
        if event.event == STREAM_ERROR and event.id in ("", self._position.id):
            raise ClientError(title(event.data))
        published = None if event.event in (READY, RESET) else self._published(event)
        if published:
            self._show(published)
        elif event.event == RESET:
            log("reset: events were lost, history does not reach back to the last one.")
        if event.id:
            self._position.move(event.id)
        if published and event.event in (DONE, STREAM_ERROR):
            self._open_topics.discard(published.topic)
            if event.event == STREAM_ERROR:
                raise ClientError(f"{published.topic}: {title(published.data)}")

    def _published(self, event: httpx2.ServerSentEvent) -> Published:
        """Return a published event. Raises `ClientError` if its data is not that of the service."""
        try:
            if len(self._topics) > 1:
                message = msgspec.json.decode(event.data, type=Multiplexed)
            else:
                raw = msgspec.json.decode(event.data, type=msgspec.Raw)
                message = Multiplexed(self._topics[0], raw)
        except msgspec.MsgspecError as error:
            raise ClientError(f"Invalid data of event {event.id}: {error}.") from error
        return Published(event.id, event.event, message.topic, message.data)


def title(data: str | msgspec.Raw) -> str:
    """Return the title in the data of a `stream-error`."""
    return msgspec.json.decode(data, type=Failure).title


def log(message: str) -> None:
    """Print a message to stderr; stdout has events only."""
    print(message, file=sys.stderr, flush=True)


def printer(output: TextIO) -> Show:
    """Return a function that prints events: in colours on a terminal, else as JSON lines."""
    if not output.isatty():
        return lambda event: print_line(output, event)
    console = Console(file=output)
    highlight = JSONHighlighter()

    def show(event: Published) -> None:
        # JSON escapes the other control characters.
        data = CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", bytes(event.data).decode())
        line = Text.assemble((event.id, "dim"), " ", (event.topic, "cyan"), " ")
        line.append(event.event, "bold").append(" ").append(highlight(data))
        console.print(line, soft_wrap=True)

    return show


def print_line(output: TextIO, event: Published) -> None:
    """Print `event` as a line of JSON, and flush it."""
    output.buffer.write(msgspec.json.encode(event) + b"\n")
    output.buffer.flush()
