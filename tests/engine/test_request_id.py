"""`RequestIdMiddleware`: an id that is safe to log, for one request."""

import asyncio
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient
from starlette.types import Receive, Scope, Send

from streaming_api.streaming.headers import RequestIdMiddleware, request_id

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
