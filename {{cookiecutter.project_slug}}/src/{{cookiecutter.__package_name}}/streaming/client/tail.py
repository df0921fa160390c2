"""Following topics, across reconnections."""

import re
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from time import sleep
from typing import TextIO

import httpx2
import msgspec
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from ..events.wire import DONE, READY, RESET, STREAM_ERROR, require_topic
from .position import ID, Position
from .service import ClientError, describe_error, printable

RETRY_SECONDS = 2.0
"""Reconnection time until the service sets another."""
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.1, 30.0
MAX_WAIT_SECONDS = 3600.0
"""Longest time that the service can set."""
SECONDS = re.compile("[0-9]{1,9}")


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

    title: str = "The stream failed."


class Interrupted(Exception):
    """A stream has failed; another may succeed after `seconds`."""

    def __init__(self, reason: str, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.seconds = seconds


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

        Raises `ClientError` for permanent errors: a rejected request, or a topic that failed.
        """
        while True:
            try:
                if self._follow():
                    return
                wait = self._retry
            except httpx2.SSEError as error:
                raise ClientError(f"The response is not an event stream: {error}") from error
            except (httpx2.HTTPError, Interrupted) as error:
                seconds = error.seconds if isinstance(error, Interrupted) else 0.0
                wait = self._retry_delay(str(error) or type(error).__name__, seconds)
            sleep(wait)

    def _retry_delay(self, reason: str, at_least: float = 0.0) -> float:
        """Print the reason of a reconnection; return the seconds to wait before it."""
        wait = min(MAX_RETRY_SECONDS, self._retry * 2.0 ** min(self._failures, 9))
        wait = min(MAX_WAIT_SECONDS, max(at_least, self._retry, wait))
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
                after = response.headers.get("retry-after", "")
                seconds = float(after) if SECONDS.fullmatch(after) else 0.0
                raise Interrupted(describe_error(response), seconds)
            if response.status_code != 200:
                raise ClientError(describe_error(response))
            # Event streams have no other encoding, whatever the server declares.
            response.encoding = "utf-8-sig"
            for event in source:
                self._failures = 0
                self._handle(event)
        return not self._open_topics

    def _handle(self, event: httpx2.ServerSentEvent) -> None:
        if event.retry is not None:
            seconds = min(event.retry, 1000 * MAX_WAIT_SECONDS) / 1000
            self._retry = max(MIN_RETRY_SECONDS, seconds)
        if event.id and not ID.fullmatch(event.id):
            raise ClientError(f"Invalid id of an event: {event.id!r}.")
        if not event.data:  # no event, as for browsers, but perhaps a newer position
            if event.id:
                self._position.move(event.id)
            return
        # An event of the stream, not of a topic, has no new id.
        if event.event == STREAM_ERROR and event.id in ("", self._position.id):
            raise Interrupted(title(event.data))
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
        # A line end in JSON is white space.
        data = event.data.replace("\n", " ")
        try:
            if len(self._topics) > 1:
                message = msgspec.json.decode(data, type=Multiplexed)
            else:
                raw = msgspec.json.decode(data, type=msgspec.Raw)
                message = Multiplexed(self._topics[0], raw)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ClientError(f"Invalid data of event {event.id}: {error}.") from error
        return Published(event.id, event.event, message.topic, message.data)


def title(data: str | msgspec.Raw) -> str:
    """Return the title in the data of a `stream-error`, a general one if it has none."""
    try:
        return msgspec.json.decode(data, type=Failure).title
    except (msgspec.MsgspecError, RecursionError):
        return Failure().title


def log(message: str) -> None:
    """Print a message to stderr; stdout has events only."""
    print(printable(message), file=sys.stderr, flush=True)


def printer(output: TextIO) -> Show:
    """Return a function that prints events: in colours on a terminal, else as JSON lines."""
    if not output.isatty():
        return lambda event: print_line(output, event)
    if isinstance(output, TextIOWrapper):
        # A terminal need not be UTF-8.
        output.reconfigure(errors="backslashreplace")
    console = Console(file=output)
    highlight = JSONHighlighter()

    def show(event: Published) -> None:
        id, topic, name = map(printable, (event.id, event.topic, event.event))
        line = Text.assemble((id, "dim"), " ", (topic, "cyan"), " ", (name, "bold"), " ")
        line.append(highlight(printable(bytes(event.data).decode())))
        console.print(line, soft_wrap=True)

    return show


def print_line(output: TextIO, event: Published) -> None:
    """Print `event` as a line of JSON, and flush it."""
    line = printable(msgspec.json.encode(event).decode())
    output.buffer.write(f"{line}\n".encode())
    output.buffer.flush()
