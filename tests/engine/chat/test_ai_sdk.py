"""The UI message stream protocol: its parts, how they end, resuming and stopping."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from httpx2 import Client, Response, TransportError

from streaming_api.settings import Settings
from streaming_api.streaming.chat.ai_sdk import chat_routes

from ..variant import TOKENS
from .script import TIMEOUT, Script

CHAT = "chat-1"
STREAM = f"/api/chat/{CHAT}/stream"


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """A limit that ends a stream which a test waits for in vain."""
    return settings.model_copy(
        update={"max_stream_seconds": TIMEOUT, **getattr(request, "param", {})}
    )


def body_of(*parts: Any, chat: str = CHAT) -> dict[str, Any]:
    """Return the body of a request with a message."""
    parts = parts or ({"type": "text", "text": "How are you?"},)
    message = {"id": "m", "role": "user", "parts": parts}
    return {"id": chat, "messages": [message], "trigger": "submit-message"}


def send(client: Any, *parts: Any, chat: str = CHAT) -> Response:
    """Send a message; return the response."""
    response: Response = client.post("/api/chat", json=body_of(*parts, chat=chat))
    return response


def parts_of(response: Response) -> list[Any]:
    """Return the parts of a stream without its start."""
    events = response.text.split("\n\n")
    assert (response.status_code, events[-2:]) == (200, ["data: [DONE]", ""])
    start, *parts = [json.loads(each[6:]) for each in events[:-2] if each != ": heartbeat"]
    assert start["type"] == "start"
    return parts


def text_of(parts: list[Any]) -> str:
    """Return the text of parts."""
    return "".join(part.get("delta", "") for part in parts)


TEXT = [
    {"type": "text-start", "id": "text"},
    {"type": "text-delta", "id": "text", "delta": "Hello"},
    {"type": "text-delta", "id": "text", "delta": " big"},
    {"type": "text-delta", "id": "text", "delta": " world"},
    {"type": "text-end", "id": "text"},
]


def test_message_has_the_parts_of_the_protocol(script: Script, client: TestClient) -> None:
    response = send(client)

    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert parts_of(response) == [*TEXT, {"type": "finish", "finishReason": "stop"}]
    assert script.messages == [{"role": "user", "content": "How are you?"}]


def test_other_part_interrupts_the_text(script: Script, client: TestClient) -> None:
    data = {"type": "data-weather", "data": {"degrees": 20}}
    script.parts = ["one", data, "two"]

    types = [part["type"] for part in parts_of(send(client))]

    text = ["text-start", "text-delta", "text-end"]
    assert types == [*text, "data-weather", *text, "finish"]


@pytest.mark.parametrize(
    ("reason", "expected"), [("length", "length"), ("content_filter", "content-filter")]
)
def test_finish_reason_has_the_name_of_the_protocol(
    script: Script, client: TestClient, reason: str, expected: str
) -> None:
    script.parts += [{"finish_reason": reason}, {"usage": {}}]

    assert parts_of(send(client))[-1] == {"type": "finish", "finishReason": expected}


def test_images_are_passed_to_the_model(script: Script, client: TestClient) -> None:
    url = "data:image/png;base64,AA=="
    send(
        client,
        {"type": "step-start"},
        {"type": "text", "text": "What is it?"},
        {"type": "file", "mediaType": "image/png", "url": url},
    )

    (message,) = script.messages
    assert message["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (LookupError("secret"), "The model failed to answer."),
        (HTTPException(429, "Slow down."), "Slow down."),
    ],
)
def test_failure_is_an_error_after_the_text(
    script: Script, client: TestClient, failure: Exception, message: str
) -> None:
    script.failure = failure

    assert parts_of(send(client)) == [*TEXT, {"type": "error", "errorText": message}]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": CHAT, "messages": []},
        {"id": "", "messages": [{"role": "user", "parts": []}]},
        {"id": "a\n", "messages": [{"role": "user", "parts": []}]},
        {"id": "a/b", "messages": [{"role": "user", "parts": []}]},
        {"id": CHAT, "messages": [{"role": "user"}]},
        {"id": CHAT, "messages": [{"role": "user", "parts": [{}]}]},
        {"id": CHAT, "messages": [{"role": "user", "parts": [{"type": "text", "text": 5}]}]},
        {"id": CHAT, "messages": [{"role": "user", "parts": [{"type": "file", "url": None}]}]},
    ],
)
def test_invalid_request_is_unprocessable(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post("/api/chat", json=body).status_code == 422


@pytest.mark.parametrize(("id", "text"), [(CHAT, "\ud83d"), ("\ud83d", "Hi")], ids=ascii)
def test_text_that_is_not_unicode_is_unprocessable(client: TestClient, id: str, text: str) -> None:
    parts = [{"type": "text", "text": text}]
    body = json.dumps({"id": id, "messages": [{"role": "user", "parts": parts}]})
    headers = {"content-type": "application/json"}

    assert client.post("/api/chat", content=body, headers=headers).status_code == 422


@pytest.mark.parametrize("limit", ["streams", "runs"])
def test_limit_is_a_status(app: FastAPI, client: TestClient, limit: str) -> None:
    getattr(app.state, limit).max_per_client = 0

    response = send(client)

    assert response.status_code == 429
    assert response.headers["retry-after"] == "5"


@pytest.mark.parametrize("chat", [CHAT, "unknown"])
def test_chat_without_running_answer_has_nothing_to_resume(
    script: Script, client: TestClient, chat: str
) -> None:
    send(client)

    resumed = client.get(f"/api/chat/{chat}/stream")
    stopped = client.post(f"/api/chat/{chat}/stop")

    assert (resumed.status_code, stopped.status_code) == (204, 204)


def test_answer_that_is_no_generator_is_refused() -> None:
    async def forgotten_yield(messages: object) -> None: ...

    with pytest.raises(ValueError, match="expected an async generator function"):
        chat_routes(forgotten_yield)


@pytest.fixture
def http(script: Script, server: str) -> Iterator[Client]:
    """A client of a real server, whose answers wait."""
    script.waits = True
    with Client(base_url=server, timeout=TIMEOUT) as http:
        yield http
        script.may_go_on.set()


def test_client_that_leaves_does_not_stop_the_answer(http: Client, script: Script) -> None:
    with http.stream("POST", "/api/chat", json=body_of()) as response:
        next(response.iter_lines())
    assert script.waiting.wait(TIMEOUT)

    with http.stream("GET", STREAM) as resumed:
        assert resumed.status_code == 200
        script.may_go_on.set()
        resumed.read()

    parts = parts_of(resumed)
    assert text_of(parts) == "Hello big world"
    assert parts[-1]["type"] == "finish"
    assert script.calls == 1


def test_two_clients_get_the_same_message(http: Client, script: Script) -> None:
    with ThreadPoolExecutor() as executor:
        sending = executor.submit(send, http)
        assert script.waiting.wait(TIMEOUT)
        with http.stream("GET", STREAM) as resumed:
            lines = resumed.iter_lines()
            first = next(lines)
            script.may_go_on.set()
            rest = [first, *lines]
        sent = sending.result().text.splitlines()

    assert [line for line in rest if line] == [line for line in sent if line]


def test_stopped_answer_is_aborted_for_all(http: Client, script: Script) -> None:
    with ThreadPoolExecutor() as executor:
        sending = executor.submit(send, http)
        assert script.waiting.wait(TIMEOUT)
        resuming = executor.submit(http.get, STREAM)

        stopped = http.post(f"/api/chat/{CHAT}/stop")
        parts = parts_of(sending.result())
        resumed = resuming.result()

    assert stopped.status_code == 204
    assert parts == [*TEXT, {"type": "abort", "reason": "stopped"}]
    assert resumed.status_code == 204 or parts_of(resumed)[-1]["type"] == "abort"
    assert script.closed.is_set()


def test_new_message_stops_the_running_answer(http: Client, script: Script) -> None:
    with ThreadPoolExecutor() as executor:
        first = executor.submit(send, http)
        assert script.waiting.wait(TIMEOUT)
        script.waits = False

        second = parts_of(send(http))

        assert parts_of(first.result())[-1]["type"] == "abort"
    assert second[-1]["type"] == "finish"


def test_other_chat_has_an_answer_of_its_own(http: Client, script: Script) -> None:
    with ThreadPoolExecutor() as executor:
        sending = executor.submit(send, http)
        assert script.waiting.wait(TIMEOUT)

        assert http.get("/api/chat/chat-2/stream").status_code == 204
        http.post("/api/chat/chat-2/stop")
        script.may_go_on.set()

        assert parts_of(sending.result())[-1]["type"] == "finish"


@pytest.mark.parametrize("settings", [{"heartbeat_seconds": 0.05}], indirect=True)
def test_idle_stream_has_heartbeats(http: Client, script: Script) -> None:
    with http.stream("POST", "/api/chat", json=body_of()) as response:
        assert next(line for line in response.iter_lines() if line.startswith(":")) == ": heartbeat"


@pytest.mark.parametrize("settings", [{"max_stream_seconds": 0.3}], indirect=True)
def test_stream_at_its_time_limit_ends_with_error(http: Client, script: Script) -> None:
    parts = parts_of(send(http))

    assert parts[-1] == {"type": "error", "errorText": "The stream was ended by the server."}


@pytest.mark.parametrize("settings", [{"shutdown_grace_seconds": 0.3}], indirect=True)
def test_shutdown_breaks_the_transfer_off(app: FastAPI, http: Client, script: Script) -> None:
    async def drain() -> None:
        app.state.streams.drain()

    app.add_api_route("/drain", drain)
    with http.stream("POST", "/api/chat", json=body_of()) as response:
        lines = response.iter_lines()
        next(lines)
        http.get("/drain")

        with pytest.raises(TransportError):
            list(lines)


@pytest.fixture
def guarded(script: Script, create_app: Callable[[Settings], FastAPI]) -> Iterator[TestClient]:
    """A client of a service with tokens."""
    if not TOKENS:
        pytest.skip("needs tokens")
    both = ["events", "publish"]
    tokens = {"events": ["events"], "publish": ["publish"], "both": both, "other": both}
    app = create_app(Settings(api_tokens=tokens, max_stream_seconds=TIMEOUT))  # type: ignore[arg-type]
    with TestClient(app) as client:
        yield client


def authorize(client: TestClient, token: str) -> None:
    """Send a token with all further requests."""
    client.headers["Authorization"] = f"Bearer {token}"


@pytest.mark.parametrize(
    ("token", "statuses"), [("events", (403, 204, 403)), ("publish", (403, 403, 204))]
)
def test_routes_require_scopes(
    guarded: TestClient, token: str, statuses: tuple[int, int, int]
) -> None:
    authorize(guarded, token)

    responses = send(guarded), guarded.get(STREAM), guarded.post(f"/api/chat/{CHAT}/stop")

    assert tuple(response.status_code for response in responses) == statuses


def test_answer_belongs_to_the_token(guarded: TestClient, script: Script) -> None:
    script.waits = True
    authorize(guarded, "both")
    with ThreadPoolExecutor() as executor:
        sending = executor.submit(send, guarded)
        assert script.waiting.wait(TIMEOUT)

        authorize(guarded, "other")
        assert guarded.get(STREAM).status_code == 204
        assert guarded.post(f"/api/chat/{CHAT}/stop").status_code == 204
        script.may_go_on.set()

        assert parts_of(sending.result())[-1]["type"] == "finish"
