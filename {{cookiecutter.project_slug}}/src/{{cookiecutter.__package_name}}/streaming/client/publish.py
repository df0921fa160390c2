"""Publishing events: one, or those in lines of NDJSON."""

import json
import re
from collections.abc import Iterator
from typing import BinaryIO

import httpx2
import msgspec

from ..events.wire import require_topic
from .service import ClientError, describe_error

STDIN = "-"
MAX_LINES = 100
"""Number of lines in a request."""
MAX_READ = 64 * 1024
BATCH_LINE = re.compile(r"body\.line (\d+)")


class Accepted(msgspec.Struct):
    """The answer to an event."""

    id: str


accepted = msgspec.json.Decoder(Accepted)


def publish_event(client: httpx2.Client, topic: str, data: str, event: str | None) -> str:
    """Publish an event; return its id. Raises `ClientError`."""
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (ValueError, RecursionError) as error:
        raise ClientError(f"Invalid DATA={data!r}: expected JSON ({error}).") from error
    # The text as it is: a number may have more digits than a float.
    body = '{"data": ' + data + ', "event": ' + json.dumps(event) + "}"
    return "\n".join(post(client, topic, body.encode(), "application/json"))


def publish_lines(client: httpx2.Client, topic: str, stream: BinaryIO) -> Iterator[str]:
    """Publish lines as soon as they are read, up to `MAX_LINES` at once; yield the ids.

    Raises `ClientError` for a rejected batch, none of whose lines are published.
    """
    first = 1
    for lines in read_batches(stream):
        try:
            ids = post(client, topic, b"\n".join(lines), "application/x-ndjson")
        except ClientError as error:
            reason = number_lines(str(error), first)
            raise ClientError(f"Not published from line {first} on: {reason}") from error
        yield from ids
        first += len(lines)


def number_lines(message: str, first: int) -> str:
    """Return an error of the service, which counts the lines of a batch, with those of stdin."""
    return BATCH_LINE.sub(lambda found: f"line {first + int(found[1]) - 1}", message)


def read_batches(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Yield up to `MAX_LINES` lines, without waiting for more than there are."""
    rest = b""
    while chunk := stream.read1(MAX_READ):  # type: ignore[attr-defined]
        *lines, rest = (rest + chunk).split(b"\n")
        for start in range(0, len(lines), MAX_LINES):
            yield lines[start : start + MAX_LINES]
    if rest:
        yield [rest]


def post(client: httpx2.Client, topic: str, body: bytes, media_type: str) -> list[str]:
    """Send events; return their ids. Raises `ClientError`."""
    try:
        require_topic(topic)
    except ValueError as error:
        raise ClientError(f"{error}.") from error
    try:
        headers = {"Content-Type": media_type}
        response = client.post(f"/events/{topic}", content=body, headers=headers)
    except httpx2.HTTPError as error:
        raise ClientError(f"{str(error) or type(error).__name__}.") from error
    if response.status_code != 201:
        raise ClientError(describe_error(response))
    try:
        return [event.id for event in accepted.decode_lines(response.content)]
    except (ValueError, RecursionError) as error:
        raise ClientError(f"The response has no ids of events: {error}.") from error
