"""Path operations that yield on a real server: where they end, break or stall."""

import asyncio
import logging
import queue
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException

from streaming_api.streaming import StreamRoute
from streaming_api.streaming.openapi import StreamingAPI
from streaming_api.streaming.problems import problem_handlers

from ..live.process import UVICORN, process
from ..variant import REQUEST_ID
from .formats import FORMATS, Format, Tick, prepare

if REQUEST_ID:
    from streaming_api.streaming.headers import RequestIdMiddleware, request_id

SERVICE = [*UVICORN, "tests.engine.yields.service:app"]
THREADS = 45
"""More than FastAPI has for path operations without `async`."""


class Wide(Tick):
    """An item that soon fills the buffers of a connection."""

    text: str = "x" * 10_000


class Service:
    """Path operations that yield, and what became of them."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.continues = threading.Event()
        self.identifier = ""
        self.ends: queue.SimpleQueue[str] = queue.SimpleQueue()

    async def wait(self) -> AsyncIterator[Tick]:
        """Yield an item and wait."""
        try:
            yield Tick(n=0)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.identifier = request_id.get() if REQUEST_ID else ""
            self.closed.set()

    async def endless(self) -> AsyncIterator[Wide]:
        """Yield items without a wait."""
        try:
            while True:
                yield Wide(n=0)
        finally:
            self.closed.set()

    def endless_in_thread(self) -> Iterator[Wide]:
        """Do the same in a thread."""
        try:
            while True:
                yield Wide(n=0)
        finally:
            self.closed.set()

    def wait_in_thread(self) -> Iterator[Tick]:
        """Yield an item when all streams are open, as many as there are threads."""
        yield Tick(n=0)
        self.continues.wait(30)
        yield Tick(n=1)

    async def transaction(self) -> AsyncIterator[None]:
        """Commit unless the stream fails, as a dependency."""
        try:
            yield
        except OSError:
            self.ends.put("rollback")
            raise
        self.ends.put("commit")

    async def break_off(self) -> AsyncIterator[Tick]:
        """Fail after an item."""
        yield Tick(n=0)
        raise OSError("the disk is gone")

    async def complete(self) -> AsyncIterator[Tick]:
        """Yield an item."""
        yield Tick(n=0)

    async def reject(self) -> AsyncIterator[Tick]:
        """Fail before the first item, in order."""
        raise HTTPException(404, "No such clock.")
        yield Tick(n=0)

    async def fail(self) -> AsyncIterator[Tick]:
        """Fail before the first item."""
        raise OSError("the disk is gone")
        yield Tick(n=0)


class Log(logging.Handler):
    """The log of the server, for tests that wait for a line."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[logging.LogRecord] = []
        """The records with an exception."""
        self._records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record."""
        if record.exc_info:
            self.failures.append(record)
        self._records.put(record)

    def wait(self, text: str) -> logging.LogRecord:
        """Return the next record that contains a text."""
        while True:
            record = self._records.get(timeout=30)
            if text in record.getMessage():
                return record


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    """The log of the server."""
    # The level is that of the root.
    caplog.set_level("INFO")
    log = Log()
    logging.getLogger().addHandler(log)
    yield log
    logging.getLogger().removeHandler(log)


@pytest.fixture
def service() -> Iterator[Service]:
    """The path operations of `app`."""
    service = Service()
    yield service
    service.continues.set()


@pytest.fixture
def app(service: Service, format: Format) -> FastAPI:
    """An application that streams in one format."""
    app = StreamingAPI(exception_handlers=problem_handlers)
    prepare(app, limits={"send_timeout": 0.2, "max_per_client": THREADS})
    router = APIRouter(route_class=StreamRoute, dependencies=[Depends(service.transaction)])
    for name in dir(service):
        endpoint = getattr(service, name)
        if callable(endpoint) and not name.startswith("_") and name != "transaction":
            router.add_api_route(f"/{name}", endpoint, response_class=format.response_class)

    @app.get("/ping")
    def ping() -> str:
        return "pong"

    app.include_router(router)
    if REQUEST_ID:
        app.add_middleware(RequestIdMiddleware)
    return app


@pytest.fixture
def http(server: str) -> Iterator[httpx2.Client]:
    """A client of `app`."""
    limits = httpx2.Limits(max_connections=THREADS + 1)
    with httpx2.Client(base_url=server, timeout=30, limits=limits) as http:
        yield http


def test_item_is_received_before_the_next_one(
    http: httpx2.Client, service: Service, format: Format
) -> None:
    with http.stream("GET", "/wait_in_thread") as response:
        text = response.iter_text()
        first = next(text)
        service.continues.set()

        assert format.read(first) == [0]
        assert format.read(first + "".join(text)) == [0, 1]


@pytest.mark.parametrize("path", ["/wait", "/endless", "/endless_in_thread"])
def test_generator_of_client_that_left_is_closed(
    http: httpx2.Client, service: Service, path: str, log: Log
) -> None:
    with http.stream("GET", path) as response:
        next(response.iter_bytes())
    ended = log.wait("stream ended")

    assert service.closed.is_set()
    assert ended.levelname == "INFO"
    assert "reason=client-disconnect" in ended.getMessage()
    assert http.get("/ping").json() == "pong"
    assert not log.failures


if REQUEST_ID:

    def test_cleanup_has_the_request_id_of_its_request(
        http: httpx2.Client, service: Service
    ) -> None:
        with http.stream("GET", "/wait") as response:
            next(response.iter_bytes())
            http.get("/ping")
        assert service.closed.wait(30)

        assert service.identifier == response.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/endless", "/endless_in_thread"])
def test_generator_that_never_waits_leaves_time_for_others(http: httpx2.Client, path: str) -> None:
    with http.stream("GET", path) as response:
        body = response.iter_bytes()
        with ThreadPoolExecutor(1) as other:
            pong = other.submit(http.get, "/ping")
            while not pong.done():
                next(body)

    assert pong.result().json() == "pong"


def test_failure_after_an_item_is_visible(http: httpx2.Client, format: Format) -> None:
    text = ""

    with http.stream("GET", "/break_off") as response:
        assert response.status_code == 200
        try:
            for each in response.iter_text():
                text += each
        except httpx2.RemoteProtocolError:
            assert format.is_file
        else:
            assert "event: stream-error" in text

    assert format.read(text) == [0]
    assert "disk" not in text


@pytest.mark.parametrize(
    ("path", "end"), [("/complete", "commit"), ("/break_off", "rollback"), ("/fail", "rollback")]
)
def test_dependency_ends_as_its_stream(
    http: httpx2.Client, service: Service, path: str, end: str
) -> None:
    with suppress(httpx2.RemoteProtocolError):
        http.get(path)

    assert service.ends.get(timeout=30) == end


def test_http_exception_before_the_first_item_is_the_response(http: httpx2.Client) -> None:
    response = http.get("/reject")

    assert response.status_code == 404
    assert response.json()["detail"] == "No such clock."


def test_failure_before_the_first_item_returns_500_and_is_logged_once(
    http: httpx2.Client, log: Log
) -> None:
    response = http.get("/fail")
    logged = log.wait("Exception in ASGI application")

    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "disk" not in response.text
    assert log.failures == [logged]


@pytest.mark.parametrize("path", ["/endless", "/endless_in_thread"])
def test_stalled_reader_loses_its_connection(
    server: str, service: Service, path: str, log: Log
) -> None:
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", int(server.rpartition(":")[2])))
        stalled.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        assert stalled.recv(12) == b"HTTP/1.1 200"

        ended = log.wait("stream ended")

    assert "reason=slow-reader" in ended.getMessage()
    assert service.closed.is_set()


def test_generators_in_threads_leave_those_of_others(
    http: httpx2.Client, service: Service, format: Format
) -> None:
    with ExitStack() as streams:
        bodies = []
        for _ in range(THREADS):
            stream = streams.enter_context(http.stream("GET", "/wait_in_thread"))
            bodies.append(stream.iter_text())
        firsts = [next(body) for body in bodies]

        assert http.get("/ping").json() == "pong"

        service.continues.set()
        texts = [first + "".join(body) for first, body in zip(firsts, bodies, strict=True)]
    assert {tuple(format.read(text)) for text in texts} == {(0, 1)}


def test_shutdown_cuts_streams_after_the_grace_period() -> None:
    def read(body: Iterator[str]) -> str:
        try:
            return "".join(body)
        except httpx2.RemoteProtocolError:
            return "failed"

    with process(SERVICE, SHUTDOWN_GRACE_SECONDS="0.3") as service, ExitStack() as streams:
        bodies = {}
        for format in FORMATS:
            url = f"{service.url}/{format.response_class.__name__}"
            bodies[format] = streams.enter_context(httpx2.stream("GET", url)).iter_text()
            assert format.read(next(bodies[format])) == [1]
        start = time.monotonic()

        status = service.stop(signal.SIGTERM)

        assert time.monotonic() - start < 10
        ends = {format: read(body) for format, body in bodies.items()}
    assert status in (0, -signal.SIGTERM)
    for format, end in ends.items():
        assert end == "failed" if format.is_file else "event: stream-error\n" in end
    assert service.log.count("the generator is closed") == len(FORMATS)
    assert service.log.count("reason=shutdown") == len(FORMATS)
