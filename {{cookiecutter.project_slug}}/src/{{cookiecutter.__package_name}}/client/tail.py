"""Following topics of a service, across every cut of the connection."""

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

from ..events.wire import DONE, READY, RESET, STREAM_ERROR, TOPIC
from .position import Position
from .service import ClientError, refusal

RETRY_SECONDS = 2.0
"""How long to wait before a reconnection until the service says otherwise."""
LONGEST_WAIT = 30.0
CONTROL = re.compile(r"[\x7f-\x9f]")


class Published(msgspec.Struct):
    """An event as it is printed; `data` is the JSON that was published."""

    id: str
    event: str
    topic: str
    data: msgspec.Raw


class Tagged(msgspec.Struct):
    """The datum of a stream of several topics."""

    topic: str
    data: msgspec.Raw


class Failure(msgspec.Struct):
    """The datum of a `stream-error`."""

    title: str


Show = Callable[[Published], object]


class Tail:
    """Follows `topics` from `position` on; whenever the stream breaks, it reconnects.

    An event is shown before `position` moves on to it. So within one process each is shown once,
    and after a process that was killed in between the last one is shown again. Raises `ClientError`
    for a topic that cannot be one.
    """

    def __init__(
        self, client: httpx2.Client, topics: Sequence[str], position: Position, show: Show
    ) -> None:
        for topic in topics:
            if not re.fullmatch(TOPIC, topic):
                accepted = "1 to 128 letters, digits, '.', '_' and '-' are"
                raise ClientError(f"TOPIC={topic!r} is not accepted: {accepted}.")
        self._client = client
        self._topics = list(dict.fromkeys(topics))
        self._open_topics = set(topics)
        self._position = position
        self._show = show
        self._retry = RETRY_SECONDS
        self._failures = 0

    def run(self) -> None:
        """Return once every topic is finished.

        Raises `ClientError` for what another try would not change: a request that is refused, or a
        `stream-error`.
        """
        while True:
            try:
                if self._follow():
                    return
                wait = self._retry
            except httpx2.SSEError as error:
                raise ClientError(f"This is no stream of events: {error}") from error
            except httpx2.TransportError as error:
                wait = self._waiting(str(error) or type(error).__name__)
            except httpx2.HTTPStatusError as error:
                after = error.response.headers.get("retry-after", "")
                wait = self._waiting(str(error), int(after) if after.isdecimal() else 0)
            sleep(wait)

    def _waiting(self, reason: str, at_least: float = 0.0) -> float:
        """Say why and for how long there are no events; return the seconds."""
        wait = max(at_least, min(LONGEST_WAIT, self._retry * 2.0**self._failures))
        self._failures += 1
        say(f"{reason} (again in {wait:g} s)")
        return wait

    def _follow(self) -> bool:
        """Follow one stream to its end; tell whether nothing comes any more."""
        first, *more = self._topics
        headers = {"Last-Event-ID": self._position.id} if self._position.id else {}
        with self._client.sse(
            f"/events/{first}", params={"topic": more}, headers=headers, max_event_size=None
        ) as source:
            response = source.response
            if response.status_code == 204:
                return True
            if response.status_code == 429 or response.status_code >= 500:
                message = refusal(response)
                raise httpx2.HTTPStatusError(message, request=response.request, response=response)
            if response.status_code != 200:
                raise ClientError(refusal(response))
            for event in source:
                self._failures = 0
                self._take(event)
        return not self._open_topics

    def _take(self, event: httpx2.ServerSentEvent) -> None:
        if event.retry is not None:
            self._retry = event.retry / 1000
        if not event.data:  # what a browser drops, too
            return
        # What belongs to the stream and not to a topic has no id of its own.
        if event.event == STREAM_ERROR and event.id in ("", self._position.id):
            raise ClientError(title(event.data))
        published = None if event.event in (READY, RESET) else self._published(event)
        if published:
            self._show(published)
        elif event.event == RESET:
            say("reset: events were lost, history does not reach back to the last one.")
        if event.id:
            self._position.move(event.id)
        if published and event.event in (DONE, STREAM_ERROR):
            self._open_topics.discard(published.topic)
            if event.event == STREAM_ERROR:
                raise ClientError(f"{published.topic}: {title(published.data)}")

    def _published(self, event: httpx2.ServerSentEvent) -> Published:
        """Return a published event. Raises `ClientError` when its data is not JSON as sent here."""
        try:
            if len(self._topics) > 1:
                datum = msgspec.json.decode(event.data, type=Tagged)
            else:
                raw = msgspec.json.decode(event.data, type=msgspec.Raw)
                datum = Tagged(self._topics[0], raw)
        except msgspec.MsgspecError as error:
            raise ClientError(f"The event {event.id} is none of this service: {error}.") from error
        return Published(event.id, event.event, datum.topic, datum.data)


def title(data: str | msgspec.Raw) -> str:
    """Return what the data of a `stream-error` say."""
    return msgspec.json.decode(data, type=Failure).title


def say(sentence: str) -> None:
    """Tell the person; what is printed for programs stays clean."""
    print(sentence, file=sys.stderr, flush=True)


def printer(output: TextIO) -> Show:
    """Return what prints events: in colours on a terminal, else as JSON, one a line."""
    if not output.isatty():
        return lambda event: print_line(output, event)
    console = Console(file=output)
    highlight = JSONHighlighter()

    def show(event: Published) -> None:
        # What controls a terminal is escaped in JSON, except for these.
        data = CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", bytes(event.data).decode())
        line = Text.assemble((event.id, "dim"), " ", (event.topic, "cyan"), " ")
        line.append(event.event, "bold").append(" ").append(highlight(data))
        console.print(line, soft_wrap=True)

    return show


def print_line(output: TextIO, event: Published) -> None:
    """Print `event` as one line of JSON that leaves at once."""
    output.buffer.write(msgspec.json.encode(event) + b"\n")
    output.buffer.flush()
