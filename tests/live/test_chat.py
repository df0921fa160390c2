"""Chat with clients of others: OpenAI's and the AI SDK's in JavaScript; chat with two replicas."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.node import require_packages, run_program
from support.project import Bake
from support.service import served

ANSWER = "You asked: How are you?"
WORDS = "You asked: one two three four five six"

Urls = Callable[[str], tuple[str, str]]


@pytest.fixture
def urls(bake: Bake, tmp_path: Path) -> Iterator[Urls]:
    """A function that returns the URLs of a service, and of one whose answers fail."""
    require_packages()
    with ExitStack() as stack:

        def start(chat: str) -> tuple[str, str]:
            project = bake(tmp_path, chat=chat, ndjson=False, csv=False)
            project.run("python", "-c", "")
            whole = served(project, tmp_path / "log", MODEL_PACE_SECONDS="0.05")
            failing = served(project, tmp_path / "failing", MODEL_FAILS_AFTER="2")
            return stack.enter_context(whole), stack.enter_context(failing)

        yield start


def test_openai_clients_in_javascript_are_served(urls: Urls) -> None:
    received = run_program("openai.mjs", *urls("openai"))

    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    assert received == {
        "models": ["echo"],
        "whole": ANSWER,
        "streamed": {"text": ANSWER, "finish": "stop", "usage": usage},
        "cut": {"text": "You asked:", "finish": "length"},
        "unknown": {"name": "NotFoundError", "status": 404, "code": "model_not_found"},
        "several": {"name": "BadRequestError", "status": 400, "code": None},
        "failed": {"name": "InternalServerError", "status": 500, "code": None},
        "failedInStream": {"name": "APIError", "code": None},
        "provided": {"streamed": ANSWER, "text": ANSWER, "tokens": 8},
    }


def test_transport_of_ai_sdk_sends_resumes_and_stops(urls: Urls) -> None:
    received = run_program("transport.mjs", *urls("ai-sdk"))

    def types(kind: str) -> list[str]:
        return [each for each in received[kind]["types"] if each != "text-delta"]

    sent, left = received["sent"], received["left"]
    assert sent["text"] == WORDS
    assert types("sent") == ["start", "text-start", "text-end", "finish"]
    assert received["afterwards"] is None
    assert [each["text"] for each in left] == [WORDS, WORDS]
    assert left[0]["id"] == left[1]["id"]
    assert WORDS.startswith(received["stopped"]["text"])
    assert types("stopped") == ["start", "text-start", "text-end", "abort"]
    assert received["failed"]["text"] == "You asked:"
    assert received["failed"]["errors"] == ["The model failed to answer."]


def part_of(line: str) -> Any:  # noqa: ANN401
    """Return the part of the message on a line of the stream."""
    data = line.removeprefix("data: ")
    return json.loads(data) if data.startswith("{") else {"type": data}


def test_answer_is_resumed_and_stopped_on_another_replica(
    bake: Bake, redis_url: str, tmp_path: Path
) -> None:
    project = bake(tmp_path, chat="ai-sdk", ndjson=False, csv=False, event_broker="redis")
    project.run("python", "-c", "")
    replica = partial(served, project, REDIS_URL=redis_url, MODEL_PACE_SECONDS="0.05")
    question = {"role": "user", "parts": [{"type": "text", "text": "word " * 1000}]}

    with (
        replica(tmp_path / "one") as one,
        replica(tmp_path / "two") as two,
        httpx.Client(timeout=20) as client,
    ):
        body = {"id": "a chat", "messages": [question]}
        with client.stream("POST", f"{one}/api/chat", json=body) as asked:
            parts = map(part_of, filter(None, asked.iter_lines()))
            started = next(parts)
            with client.stream("GET", f"{two}/api/chat/a%20chat/stream") as resumed:
                others = map(part_of, filter(None, resumed.iter_lines()))
                assert next(others) == started
                assert any(part["type"] == "text-delta" for part in others)
                assert client.post(f"{two}/api/chat/a%20chat/stop").status_code == 204
                ends = [[part["type"] for part in each][-3:] for each in (parts, others)]
        assert client.get(f"{one}/api/chat/a%20chat/stream").status_code == 204

    assert started["type"] == "start"
    assert ends == [["text-end", "abort", "[DONE]"]] * 2
