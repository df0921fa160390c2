"""Publishing by the command line."""

import json
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response

from .conftest import Run


def history(http: httpx2.Client, topic: str) -> Any:
    """Return the first event in the history of a topic."""
    params = {"last_event_id": "earliest"}
    with http.sse(f"/events/{topic}", params=params) as events:
        return next(event for event in events if event.event != "ready")


@pytest.mark.parametrize(("option", "name"), [([], "message"), (["--event", "täg"], "täg")])
def test_event_is_published_and_its_id_printed(
    http: httpx2.Client, run: Run, option: list[str], name: str
) -> None:
    result = run("publish", "news", '{"text": "Grüße"}', *option)

    event = history(http, "news")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{event.id}\n"
    assert (event.event, event.data) == (name, '{"text":"Grüße"}')


def test_numbers_are_sent_as_they_are(app: FastAPI, server: str, run: Run) -> None:
    bodies: list[bytes] = []

    @app.post("/other/events/news", status_code=201)
    async def publish(request: Request) -> dict[str, str]:
        bodies.append(await request.body())
        assert request.headers["content-type"] == "application/json"
        return {"id": "7"}

    data = '{"n": 1234567890123456789012345678901234567890, "x": 0.12345678901234567890}'
    result = run("publish", "news", data, "--event", 'a "b"', url=f"{server}/other")

    assert result.stdout == "7\n"
    assert bodies == [f'{{"data": {data}, "event": "a \\"b\\""}}'.encode()]


def test_64_bit_integer_is_read_back(http: httpx2.Client, run: Run) -> None:
    run("publish", "news", "9007199254740993")

    assert history(http, "news").data == "9007199254740993"


@pytest.mark.parametrize("data", ["", "{", "word", '1, "event": "done"', "'text'", '"\n"'])
def test_invalid_json_is_named_in_one_line(run: Run, data: str) -> None:
    result = run("publish", "news", data, url="http://127.0.0.1:1")

    assert result.stderr.startswith(f"Invalid DATA={data!r}: expected JSON (")
    assert result.stderr.endswith(").\n")
    assert result.stderr.count("\n") == 1
    assert (result.exit_code, result.stdout) == (1, "")


def test_rejected_event_is_described(run: Run) -> None:
    result = run("publish", "news", "1", "--event", "done")

    assert result.stderr == "422 Unprocessable Entity: Invalid event name 'done': reserved\n"
    assert (result.exit_code, result.stdout) == (1, "")


def test_error_without_problem_document_is_its_status(app: FastAPI, server: str, run: Run) -> None:
    @app.post("/other/events/news")
    async def publish() -> Response:
        return Response("<html>", 502)

    result = run("publish", "news", "1", url=f"{server}/other")

    assert (result.exit_code, result.stderr) == (1, "502 Bad Gateway\n")


def test_unavailable_service_is_named_in_one_line(run: Run) -> None:
    result = run("publish", "news", json.dumps("text"), url="http://127.0.0.1:1")

    assert result.stderr == "[Errno 111] Connection refused.\n"
    assert result.exit_code == 1


def test_invalid_topic_is_rejected_in_one_line(run: Run) -> None:
    result = run("publish", "a?b", "1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Invalid topic 'a?b': expected ")
    assert result.stderr.count("\n") == 1
