"""`RequestIdMiddleware`: an id that is safe to log, in every log record of one request."""

import asyncio
import logging
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient
from starlette.types import Receive, Scope, Send
from uvicorn.config import LOGGING_CONFIG
from uvicorn.logging import AccessFormatter

from streaming_api.streaming.headers import RequestIdMiddleware, log_request_ids, request_id

HYPHENS = "6f1c2b1e-98b5-4f0c-9d43-0b7a4f5a1c11"


async def send_id(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with the request id."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": request_id.get().encode()})


@pytest.mark.parametrize("sent", [HYPHENS, HYPHENS.upper(), HYPHENS.replace("-", "")])
def test_uuid_of_client_is_kept(sent: str) -> None:
    response = TestClient(RequestIdMiddleware(send_id)).get("/", headers={"X-Request-Id": sent})

    assert response.headers["x-request-id"] == response.text == sent


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "42",
        "request-1",
        HYPHENS + "0",
        HYPHENS.replace("-", "", 1),
        HYPHENS.replace("6", "g"),
        "{" + HYPHENS + "}",
        f"urn:uuid:{HYPHENS}",
        f"{HYPHENS}\n",
        f"{HYPHENS}\treason=complete",
        "<script>alert(1)</script>",
    ],
)
def test_other_id_of_client_is_replaced(sent: str) -> None:
    response = TestClient(RequestIdMiddleware(send_id)).get("/", headers={"X-Request-Id": sent})

    assert response.headers["x-request-id"] == response.text != sent
    assert UUID(response.text).version == 4


@pytest.mark.anyio
async def test_concurrent_requests_have_their_own_ids() -> None:
    barrier = asyncio.Barrier(10)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await barrier.wait()
        await send_id(scope, receive, send)

    sent = [str(uuid4()) for _ in range(10)]
    transport = ASGITransport(RequestIdMiddleware(app))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        responses = await asyncio.gather(
            *(client.get("/", headers={"X-Request-Id": each}) for each in sent)
        )

    assert [response.text for response in responses] == sent
    assert [response.headers["x-request-id"] for response in responses] == sent
    assert request_id.get() == "-"


@pytest.fixture
def record_factory() -> Iterator[None]:
    """Restore the factory of log records."""
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.setLogRecordFactory(factory)


def ids(records: list[logging.LogRecord]) -> list[str]:
    return [vars(record).get("request_id", "") for record in records]


@pytest.mark.usefixtures("record_factory")
def test_every_record_of_a_request_has_its_id(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = logging.getLogger("other")

    @app.get("/other")
    def respond(tasks: BackgroundTasks) -> None:
        other.info("in a thread")
        tasks.add_task(other.info, "after the response")

    with TestClient(app) as client:
        caplog.clear()
        client.get("/other", headers={"X-Request-Id": HYPHENS})
        records = [record for record in caplog.records if record.name == "other"]
        other.info("outside of a request")

    assert ids(records) == [HYPHENS, HYPHENS]
    assert ids(caplog.records)[-1] == "-"


@pytest.mark.anyio
async def test_server_that_logs_an_exception_knows_the_id() -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    async def serve() -> str:
        scope = {"type": "http", "headers": [(b"x-request-id", HYPHENS.encode())]}
        with pytest.raises(RuntimeError):
            await RequestIdMiddleware(fail)(scope, None, None)  # type: ignore[arg-type]
        return request_id.get()

    assert await asyncio.create_task(serve()) == HYPHENS
    assert request_id.get() == "-"


@pytest.mark.usefixtures("record_factory")
def test_records_of_another_factory_have_ids_once() -> None:
    class Record(logging.LogRecord):
        """A record of another library."""

    logging.setLogRecordFactory(Record)
    log_request_ids()
    factory = logging.getLogRecordFactory()

    log_request_ids()

    assert logging.getLogRecordFactory() is factory
    record = factory("name", logging.INFO, "", 0, "text", (), None)
    assert isinstance(record, Record)
    assert ids([record]) == ["-"]


ACCESS = LOGGING_CONFIG["formatters"]["access"]["fmt"]


@pytest.mark.usefixtures("record_factory")
@pytest.mark.parametrize(
    ("formatter", "line"),
    [
        (AccessFormatter(ACCESS), f'INFO:     ::1 - "GET / HTTP/1.1" 200 OK {HYPHENS}'),
        (AccessFormatter("%(status_code)s"), "200 OK"),
        (logging.Formatter("%(levelname)s"), "INFO"),
    ],
)
def test_access_log_of_uvicorn_has_the_id(formatter: logging.Formatter, line: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logger = logging.getLogger("uvicorn.access")
    logger.addHandler(handler)

    log_request_ids()

    logger.removeHandler(handler)
    token = request_id.set(HYPHENS)
    arguments = ("::1", "GET", "/", "1.1", 200)
    message = '%s - "%s %s HTTP/%s" %d'
    record = logging.getLogRecordFactory()("name", logging.INFO, "", 0, message, arguments, None)
    request_id.reset(token)
    assert handler.format(record) == line
