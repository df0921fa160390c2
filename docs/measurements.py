"""Print the figures of decisions.md.

Run it in a project that is generated with the default answers:

    uv run --with apsw --with asgi-correlation-id --with secure python PATH/TO/measurements.py
"""

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

import apsw
from asgi_correlation_id import CorrelationIdMiddleware
from pydantic import BaseModel
from secure.middleware import SecureASGIMiddleware
from sqlalchemy import select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streaming_api.headers import SECURITY_HEADERS
from streaming_api.samples import SAMPLES
from streaming_api.streaming.exports.csv import CSVEncoder
from streaming_api.streaming.exports.ndjson import NDJSONEncoder
from streaming_api.streaming.exports.sqlite import SQLite
from streaming_api.streaming.headers import RequestIdMiddleware, SecurityHeadersMiddleware
from streaming_api.tables import items, metadata

ROWS = 200_000
Headers = list[tuple[bytes, bytes]]
Rows = Sequence[Sequence[Any]]
UUID = "0b1fdd9c5f9b4f4e8c3a1f2e3d4c5b6a"


class Item(BaseModel):
    """A row of `items`."""

    id: int
    name: str
    description: str | None
    price: float | None
    created_at: datetime


def application(headers: Headers, chunks: int = 1) -> ASGIApp:
    """Return an ASGI application that sends `headers`, then a number of chunks."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        for _ in range(chunks):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body"})

    return app


def security_headers_middleware(app: ASGIApp) -> ASGIApp:
    """Return `app` in the project's middleware."""
    return SecurityHeadersMiddleware(app, SECURITY_HEADERS)


async def no_request() -> Message:
    """Return the end of an empty request body."""
    return {"type": "http.request"}


async def response_headers(app: ASGIApp, headers: Headers) -> Headers:
    """Return the headers of a response of `app`."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "scheme": "http", "headers": headers}, no_request, send)
    found: Headers = sent[0]["headers"]
    return found


async def request_ids() -> None:
    """Print which request ids of clients are kept."""
    for given in (
        UUID,
        f"urn:uuid:{UUID}",
        "{0b1f-dd9c5f9b4f4e8c3a1f2e3d4c5b6a----}",
        "-" * 60_000 + UUID,
        "<script>",
    ):
        for middleware in (CorrelationIdMiddleware, RequestIdMiddleware):
            headers = await response_headers(
                middleware(application([])), [(b"x-request-id", given.encode())]
            )
            kept = headers[0][1].decode() == given
            print(f"{given[:45]:46}{middleware.__name__:28}{'kept' if kept else 'replaced'}")
    for middleware in (CorrelationIdMiddleware, RequestIdMiddleware):
        headers = await response_headers(
            middleware(application([(b"x-request-id", b"set below")])), []
        )
        given = "the route sets the header too"
        print(f"{given:46}{middleware.__name__:28}{len(headers)} header(s)")


async def security_headers() -> None:
    """Print what happens to headers that a route sets."""
    route = [
        (b"x-frame-options", b"SAMEORIGIN"),
        (b"set-cookie", b"first=1"),
        (b"referrer-policy", b"origin"),
        (b"x-content-type-options", b"nosniff"),
        (b"set-cookie", b"second=2"),
    ]
    for middleware in (SecureASGIMiddleware, security_headers_middleware):
        headers = await response_headers(middleware(application(route)), [])
        cookies = [value.decode() for name, value in headers if name == b"set-cookie"]
        names = [name.lower().decode() for name, _ in headers]
        twice = sorted({name for name in names if names.count(name) > 1} - {"set-cookie"})
        print(f"{middleware.__name__:28} cookies {cookies}, twice {twice}")


async def cost() -> None:
    """Print the cost of each middleware."""
    scope: Scope = {"type": "http", "scheme": "http", "headers": []}

    async def send(_: Message) -> None:
        pass

    def nothing(app: ASGIApp) -> ASGIApp:
        return app

    for middleware in (
        nothing,
        CorrelationIdMiddleware,
        RequestIdMiddleware,
        SecureASGIMiddleware,
        security_headers_middleware,
    ):
        seconds = []
        for chunks, responses in ((1, 10_000), (100_000, 1)):
            app = middleware(application([], chunks))
            times = []
            for _ in range(5):
                start = time.perf_counter()
                for _ in range(responses):
                    await app(scope, no_request, send)
                times.append((time.perf_counter() - start) / responses / chunks)
            seconds.append(min(times))
        name = middleware.__name__
        print(f"{name:28} {seconds[0] * 1e6:5.1f} µs a response {seconds[1] * 1e9:5.0f} ns a chunk")


def best(work: Callable[[], object], runs: int = 3) -> float:
    """Return the shortest processor time of several runs."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def exports(database: SQLite) -> None:
    """Print the cost of reading, of encoding and of concurrent exports."""
    statement = select(items).order_by(items.c.id)
    names = [str(column.name) for column in items.c]
    encoder = NDJSONEncoder(names)

    def from_sqlalchemy() -> Iterator[Rows]:
        with database.engine.connect() as connection:
            yield from connection.execute(statement).partitions(500)

    def from_driver() -> Iterator[Rows]:
        with (
            database.reading() as connection,
            closing(database.rows(connection, statement)) as found,
        ):
            while rows := list(islice(found, 500)):
                yield rows

    def from_apsw() -> Iterator[Rows]:
        connection = apsw.Connection(str(database.engine.url.database))
        cursor = connection.execute(f"SELECT {', '.join(names)} FROM items ORDER BY id")  # noqa: S608
        while rows := list(islice(cursor, 500)):
            yield rows
        connection.close()

    def by_json(rows: Rows) -> bytes:
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
        return "\n".join(lines).encode()

    def by_pydantic(rows: Rows) -> bytes:
        documents = [Item(**dict(zip(names, row, strict=True))) for row in rows]
        return "\n".join(item.model_dump_json() for item in documents).encode()

    def consume(rows: Callable[[], Iterator[Rows]], encode: Callable[[Rows], object]) -> None:
        for batch in rows():
            encode(batch)

    for label, rows, encode in (
        ("SQLAlchemy's rows, read only", from_sqlalchemy, len),
        ("the driver's cursor, read only", from_driver, len),
        ("SQLAlchemy's rows, msgspec", from_sqlalchemy, encoder.encode),
        ("the driver's cursor, msgspec", from_driver, encoder.encode),
        ("the driver's cursor, CSV", from_driver, CSVEncoder(names).encode),
        ("apsw, read only", from_apsw, len),
        ("apsw, msgspec", from_apsw, encoder.encode),
        ("apsw, CSV", from_apsw, CSVEncoder(names).encode),
        ("the driver's cursor, json", from_driver, by_json),
        ("the driver's cursor, pydantic", from_driver, by_pydantic),
    ):
        seconds = best(partial(consume, rows, encode))
        print(f"{label:32} {ROWS / seconds:11,.0f} rows/s")

    async def export(threads: ThreadPoolExecutor) -> None:
        loop, source = asyncio.get_running_loop(), map(encoder.encode, from_driver())
        while await loop.run_in_executor(threads, next, source, None):
            pass

    async def concurrent(threads: ThreadPoolExecutor) -> None:
        await asyncio.gather(*(export(threads) for _ in range(4)))

    for count in (1, 2, 4):
        start = time.perf_counter()
        with ThreadPoolExecutor(count) as threads:
            asyncio.run(concurrent(threads))
        seconds = time.perf_counter() - start
        print(f"4 exports, {count} thread(s)            {4 * ROWS / seconds:11,.0f} rows/s")


def main() -> None:
    """Print all figures."""
    logging.disable()
    for figures in (request_ids, security_headers, cost):
        asyncio.run(figures())
        print()
    with tempfile.TemporaryDirectory() as folder:
        database = SQLite(f"sqlite:///{folder}/figures.db", metadata, SAMPLES)
        for _ in database.seed(ROWS):
            pass
        exports(database)
        database.close()


if __name__ == "__main__":
    main()
