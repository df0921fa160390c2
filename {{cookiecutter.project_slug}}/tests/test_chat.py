"""Chat: answers of the model, whole and as they are generated, and how they end."""

import asyncio
import json
#{% if cookiecutter.__uses.ai_sdk %}
import threading
#{% endif %}
from collections.abc import AsyncIterator, Callable, Iterator
#{% if cookiecutter.__uses.ai_sdk %}
from concurrent.futures import ThreadPoolExecutor
#{% endif %}
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }} import model
from {{ cookiecutter.__package_name }}.settings import Settings

QUESTION = "How are you?"
Serve = Callable[[Callable[..., Any]], Any]


@pytest.fixture
def settings() -> Settings:
    """Settings of an answer that does not take its time."""
    return Settings(model_pace_seconds=0, max_stream_seconds=10)


@pytest.fixture
def serve(
    monkeypatch: pytest.MonkeyPatch, create_app: Callable[[Settings], FastAPI], settings: Settings
) -> Serve:
    """A function that returns a client of an application with another `answer`."""

    @contextmanager
    def serve(answer: Callable[..., Any]) -> Iterator[TestClient]:
        monkeypatch.setattr(model, "answer", answer)
        with TestClient(create_app(settings)) as client:
            yield client

    return serve


def events(text: str) -> list[Any]:
    """Return the data of all events but `[DONE]`, which is the last one."""
    *data, done = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert done == "[DONE]"
    return [json.loads(each) for each in data]
#{% if cookiecutter.__uses.openai %}


def ask(client: TestClient, **options: Any) -> Any:
    """Send a question; return the response."""
    messages = [{"role": "user", "content": QUESTION}]
    model = client.get("/v1/models").json()["data"][0]["id"]
    body = {"model": model, "messages": messages, **options}
    return client.post("/v1/chat/completions", json=body)


def test_models_are_listed(client: TestClient, settings: Settings) -> None:
    models = client.get("/v1/models").json()

    assert [each["id"] for each in models["data"]] == [settings.model_name]


def test_completion_is_returned_whole(client: TestClient) -> None:
    (choice,) = ask(client).json()["choices"]

    assert QUESTION in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"


def test_completion_is_streamed(client: TestClient) -> None:
    response = ask(client, stream=True)

    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in events(response.text)]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert QUESTION in "".join(deltas)


def test_unknown_model_returns_404_error(client: TestClient) -> None:
    response = ask(client, model="unknown")

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


def test_failed_answer_returns_error_without_details(serve: Serve) -> None:
    async def fail(messages: Any) -> AsyncIterator[str]:
        raise RuntimeError("password=hunter2")
        yield

    with serve(fail) as client:
        response = ask(client)

    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert "hunter2" not in response.text
#{% else %}


def send(client: TestClient, chat: str = "chat-1") -> Any:
    """Send a question; return the response."""
    message = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": QUESTION}]}
    return client.post("/api/chat", json={"id": chat, "messages": [message]})


def test_message_is_streamed(client: TestClient) -> None:
    response = send(client)

    start, *parts, finish = events(response.text)
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert (start["type"], finish["type"]) == ("start", "finish")
    assert QUESTION in "".join(part.get("delta", "") for part in parts)


def test_chat_without_answer_has_nothing_to_resume(client: TestClient) -> None:
    send(client)

    assert client.get("/api/chat/chat-1/stream").status_code == 204
    assert client.get("/api/chat/unknown/stream").status_code == 204


def test_failed_answer_ends_with_error_without_details(serve: Serve) -> None:
    async def fail(messages: Any) -> AsyncIterator[str]:
        yield "one"
        raise RuntimeError("password=hunter2")

    with serve(fail) as client:
        response = send(client)

    assert events(response.text)[-1]["type"] == "error"
    assert "hunter2" not in response.text


def test_stopped_answer_is_aborted(serve: Serve) -> None:
    started = threading.Event()

    async def wait(messages: Any) -> AsyncIterator[str]:
        yield "one"
        started.set()
        await asyncio.Event().wait()

    with serve(wait) as client, ThreadPoolExecutor() as executor:
        sending = executor.submit(send, client)
        assert started.wait(10)
        stopped = client.post("/api/chat/chat-1/stop")
        parts = events(sending.result().text)

    assert stopped.status_code == 204
    assert parts[-1] == {"type": "abort", "reason": "stopped"}
#{% endif %}


async def collect(settings: Settings) -> str:
    """Return the text of the answer of `model.py`."""
    messages = [{"role": "user", "content": QUESTION}]
    return "".join([str(part) async for part in model.answer(messages, settings=settings)])


def test_answer_without_server_echoes_the_question(settings: Settings) -> None:
    assert asyncio.run(collect(settings)) == f"You asked: {QUESTION}"


def test_echo_fails_after_number_of_words(settings: Settings) -> None:
    failing = settings.model_copy(update={"model_fails_after": 2})

    with pytest.raises(RuntimeError, match="MODEL_FAILS_AFTER"):
        asyncio.run(collect(failing))


def test_server_answers_if_it_is_set(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    async def stand_in(*_: object) -> AsyncIterator[str]:
        yield "from the server"

    monkeypatch.setattr(model, "ask_server", stand_in)
    with_server = settings.model_copy(update={"model_url": "https://models.example.com/v1"})

    assert asyncio.run(collect(with_server)) == "from the server"
