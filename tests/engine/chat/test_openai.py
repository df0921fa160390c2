"""OpenAI's API of chat completions: its responses, its limits and its errors."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from httpx2 import Response

from streaming_api.settings import Settings
from streaming_api.streaming import Reason
from streaming_api.streaming.chat.openai import CompletionStreamResponse, install_openai

from ..variant import TOKENS
from .script import Script

MESSAGES = [{"role": "user", "content": "How are you?"}]
CALL = {"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}
REST_OF_CALL = {"index": 0, "function": {"arguments": ": 1}"}}


def ask(client: TestClient, **body: Any) -> Response:
    """Send a question; return the response."""
    body = {"model": "echo", "messages": MESSAGES, **body}
    response: Response = client.post("/v1/chat/completions", json=body)
    return response


def chunks_of(response: Response) -> list[Any]:
    """Return the chunks of a stream."""
    *data, done, end = response.text.split("\n\n")
    assert (response.status_code, done, end) == (200, "data: [DONE]", "")
    return [json.loads(each.removeprefix("data: ")) for each in data]


def deltas_of(response: Response) -> list[Any]:
    """Return the deltas of a stream, and why it ended."""
    choices = [choice for chunk in chunks_of(response) for choice in chunk["choices"]]
    assert all(choice["finish_reason"] is None for choice in choices[:-1])
    return [*(choice["delta"] for choice in choices[:-1]), choices[-1]["finish_reason"]]


def text_of(response: Response) -> tuple[str, str]:
    """Return the text of a completion, and why it ended."""
    (choice,) = response.json()["choices"]
    return choice["message"]["content"], choice["finish_reason"]


def assert_error(response: Response, status: int, **members: Any) -> None:
    """Check an error: its status, its shape, and some of its members."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error.items() >= members.items()


def test_completion_has_all_members(script: Script, client: TestClient) -> None:
    completion = ask(client).json()

    assert completion.pop("id").startswith("chatcmpl-")
    assert completion.pop("created") > 1_700_000_000
    assert completion == {
        "object": "chat.completion",
        "model": "echo",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello big world", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
    }


def test_stream_has_role_parts_and_end(script: Script, client: TestClient) -> None:
    response = ask(client, stream=True)

    role, *deltas = deltas_of(response)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert role == {"role": "assistant", "content": ""}
    assert deltas == [{"content": "Hello"}, {"content": " big"}, {"content": " world"}, "stop"]
    assert len({chunk["id"] for chunk in chunks_of(response)}) == 1


def test_stream_includes_usage_on_request(script: Script, client: TestClient) -> None:
    response = ask(client, stream=True, stream_options={"include_usage": True})

    *chunks, last = chunks_of(response)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 6
    assert script.options["stream_options"] == {"include_usage": True}


def test_reported_usage_and_finish_reason_are_kept(script: Script, client: TestClient) -> None:
    script.parts += [{"finish_reason": "content_filter"}, {"usage": {"total_tokens": 7}}]

    completion = ask(client).json()

    assert completion["usage"] == {"total_tokens": 7}
    assert completion["choices"][0]["finish_reason"] == "content_filter"


@pytest.mark.parametrize("stream", [False, True])
def test_empty_answer_is_complete(script: Script, client: TestClient, stream: bool) -> None:
    script.parts = []

    response = ask(client, stream=stream)

    if stream:
        assert deltas_of(response) == [{"role": "assistant", "content": ""}, "stop"]
    else:
        assert text_of(response) == (None, "stop")


def test_tool_calls_are_streamed(script: Script, client: TestClient) -> None:
    script.parts = [{"tool_calls": [CALL]}, {"tool_calls": [REST_OF_CALL]}]

    deltas = deltas_of(ask(client, stream=True, tools=[{"type": "function"}]))

    assert deltas[1:] == [*script.parts, "tool_calls"]
    assert script.options["tools"] == [{"type": "function"}]


def test_tool_calls_are_joined(script: Script, client: TestClient) -> None:
    script.parts = [{"tool_calls": [CALL]}, {"tool_calls": [REST_OF_CALL]}, {"annotations": []}]

    (choice,) = ask(client).json()["choices"]

    function = {"name": "f", "arguments": '{"a": 1}'}
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["annotations"] == []
    assert choice["message"]["tool_calls"] == [
        {"id": "1", "type": "function", "function": function}
    ]


def test_options_reach_the_model(script: Script, client: TestClient) -> None:
    messages = [{"role": "user", "content": "Hi", "name": "ada"}]

    ask(client, messages=messages, temperature=0.5, stop="x", n=1, seed=None)

    options = {"temperature": 0.5, "stop": "x", "n": 1, "stream_options": {"include_usage": True}}
    assert script.messages == messages
    assert script.options == options


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("big", "Hello "),
        ([" world", "Hello"], ""),
        ("lo b", "Hel"),
        ("lo w", "Hello big world"),
        ("d", "Hello big worl"),
        ("dx", "Hello big world"),
        ("Hello there", "Hello big world"),
        ([], "Hello big world"),
    ],
)
def test_stop_sequence_ends_answer(
    script: Script, client: TestClient, stop: Any, text: str
) -> None:
    whole = ask(client, stop=stop)
    streamed = deltas_of(ask(client, stop=stop, stream=True))

    assert text_of(whole) == (text or None, "stop")
    assert "".join(delta["content"] for delta in streamed[:-1]) == text
    assert script.closed.is_set()


def test_held_text_precedes_other_part(script: Script, client: TestClient) -> None:
    script.parts = ["one", {"tool_calls": [CALL]}, "two"]

    deltas = deltas_of(ask(client, stop="ex", stream=True))

    assert deltas[1:] == [
        {"content": "on"},
        {"content": "e"},
        script.parts[1],
        {"content": "two"},
        "tool_calls",
    ]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("most", "expected"),
    [(2, ("Hello big", "length")), (3, ("Hello big world", "stop"))],
)
def test_maximum_of_tokens_ends_answer(
    script: Script, client: TestClient, name: str, most: int, expected: tuple[str, str]
) -> None:
    assert text_of(ask(client, **{name: most})) == expected


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "Hi"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content.str"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages.0.content.str"),
        ({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, "messages.0.content.str"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": None}, "model"),
    ],
)
def test_invalid_request_is_bad(client: TestClient, body: dict[str, Any], param: str) -> None:
    assert_error(ask(client, **body), 400, param=param, type="invalid_request_error")


def test_text_that_is_not_unicode_is_bad(client: TestClient) -> None:
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "\ud83d"}]})
    headers = {"content-type": "application/json"}

    response = client.post("/v1/chat/completions", content=body, headers=headers)

    assert_error(response, 400, type="invalid_request_error")


def test_body_without_json_is_bad(client: TestClient) -> None:
    response = client.post("/v1/chat/completions", content=b"{")

    assert_error(response, 400, type="invalid_request_error")


def test_unknown_model_is_not_found(client: TestClient) -> None:
    response = ask(client, model="other")

    assert_error(response, 404, param="model", code="model_not_found")
    assert "'echo'" in response.json()["error"]["message"]


def test_errors_of_other_routes_are_problems(client: TestClient) -> None:
    assert_error(client.get("/v1/chat/completions"), 405)
    for path in ("/v1/orders", "/nowhere"):
        assert client.get(path).headers["content-type"] == "application/problem+json"


def test_unexpected_failure_has_the_shape(app: FastAPI) -> None:
    with TestClient(app, raise_server_exceptions=False) as client:
        app.state.runs = None
        response = ask(client)

    assert_error(response, 500, type="server_error")


def test_errors_have_the_shape_under_a_root_path(app: FastAPI) -> None:
    with TestClient(app, root_path="/api") as client:
        response = client.post("/api/v1/chat/completions", json={})

    assert_error(response, 400)


@pytest.mark.parametrize("settings", [{"max_chat_bytes": 300_000}], indirect=True)
def test_conversation_can_be_larger_than_events(script: Script, client: TestClient) -> None:
    def conversation(size: int) -> list[dict[str, str]]:
        return [{"role": "user", "content": "x" * size}]

    assert ask(client, messages=conversation(290_000)).status_code == 200
    assert_error(ask(client, messages=conversation(300_000)), 413)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "status", "kind", "message"),
    [
        (LookupError("secret"), 500, "server_error", "The model failed to answer."),
        (HTTPException(400, "Too long."), 400, "invalid_request_error", "Too long."),
        (HTTPException(429, "Slow down."), 429, "rate_limit_error", "Slow down."),
    ],
)
def test_failure_before_first_part_has_status(
    script: Script,
    client: TestClient,
    stream: bool,
    failure: Exception,
    status: int,
    kind: str,
    message: str,
) -> None:
    script.parts, script.failure = [], failure

    assert_error(ask(client, stream=stream), status, type=kind, message=message)


def test_failure_after_first_part_fails_whole(script: Script, client: TestClient) -> None:
    script.failure = LookupError("secret")

    assert_error(ask(client), 500)


def test_failure_after_first_part_ends_stream_with_error(
    script: Script, client: TestClient
) -> None:
    script.failure = LookupError("secret")

    response = ask(client, stream=True)

    *_, last, end = response.text.split("\n\n")
    assert response.status_code == 200
    assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"
    assert end == ""
    assert "[DONE]" not in response.text
    assert "secret" not in response.text


@pytest.mark.parametrize("settings", [{"max_streams_per_client": 1}], indirect=True)
@pytest.mark.parametrize("limit", ["streams", "runs"])
def test_limit_is_rate_limited(app: FastAPI, client: TestClient, limit: str) -> None:
    getattr(app.state, limit).max_per_client = 0

    response = ask(client)

    assert_error(response, 429, type="rate_limit_error", code="rate_limit_exceeded")
    assert response.headers["retry-after"] == "5"


@pytest.mark.parametrize("reason", Reason)
def test_stream_that_is_cut_off_ends_with_error_unless_slow(reason: Reason) -> None:
    closing = CompletionStreamResponse().closing(reason)

    assert (closing is None) == (reason is Reason.SLOW_READER)


def test_answer_that_is_no_generator_is_refused(app: FastAPI) -> None:
    async def forgotten_yield(messages: object) -> None: ...

    with pytest.raises(ValueError, match="expected an async generator function"):
        install_openai(app, forgotten_yield)


@pytest.fixture
def guarded(create_app: Callable[[Settings], FastAPI], settings: Settings) -> Iterator[TestClient]:
    """A client of a service with tokens."""
    if not TOKENS:
        pytest.skip("needs tokens")
    tokens = {"events": ["events"], "publish": ["publish"], "both": ["events", "publish"]}
    app = create_app(Settings(api_tokens=tokens))  # type: ignore[arg-type]
    with TestClient(app) as client:
        yield client


def test_missing_token_is_unauthorized(guarded: TestClient) -> None:
    response = ask(guarded)

    assert_error(response, 401, code="invalid_api_key")
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("token", ["events", "publish"])
def test_token_needs_both_scopes(guarded: TestClient, token: str) -> None:
    guarded.headers["Authorization"] = f"Bearer {token}"

    assert_error(ask(guarded), 403)
