"""Chat with clients of others: OpenAI's and the AI SDK's in JavaScript."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

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
