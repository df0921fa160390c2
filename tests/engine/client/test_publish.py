"""Publishing by the command line."""

import json
import subprocess
from itertools import islice
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response

from .conftest import TIMEOUT, Run, Start


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


@pytest.mark.parametrize(
    "data",
    ["", "{", "word", "NaN", '1, "event": "done"', "'text'", '"\n"', '"\udcff"', "[" * 5000],
)
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


def published(http: httpx2.Client, topic: str, number: int) -> list[httpx2.ServerSentEvent]:
    """Return the first events in the history of a topic."""
    with http.sse(f"/events/{topic}", params={"last_event_id": "earliest"}) as events:
        return list(islice(events, 1, 1 + number))


@pytest.mark.parametrize("body", ["<p>", "{}", "[]", '{"id": 7}', "[" * 5000, b'{"id": "\xff"}'])
@pytest.mark.parametrize("data", ["1", "-"])
def test_response_of_another_service_is_named(
    app: FastAPI, server: str, run: Run, data: str, body: str | bytes
) -> None:
    @app.post("/other/events/news")
    async def publish() -> Response:
        return Response(body, 201)

    result = run("publish", "news", data, url=f"{server}/other", input='{"data": 1}\n')

    assert "The response has no ids of events: " in result.stderr
    assert result.stderr.count("\n") == 1
    assert (result.exit_code, result.stdout) == (1, "")


def test_lines_of_stdin_are_published_in_order(http: httpx2.Client, run: Run) -> None:
    lines = [{"data": number, "event": "täg"} for number in range(250)]

    result = run("publish", "news", "-", input="\n".join(map(json.dumps, lines)))

    events = published(http, "news", 250)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.split() == [event.id for event in events]
    assert [event.json() for event in events] == [*range(250)]
    assert {event.event for event in events} == {"täg"}


def test_line_of_stdin_is_published_before_the_next(http: httpx2.Client, start: Start) -> None:
    with start("publish", "news", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for number in range(3):
            process.stdin.write(b'{"data": %d}\n' % number)
            process.stdin.flush()
            id = process.stdout.readline().decode().strip()

            assert published(http, "news", number + 1)[-1].id == id
        process.stdin.close()
        assert process.wait(TIMEOUT) == 0


def test_invalid_line_of_stdin_is_named(http: httpx2.Client, run: Run) -> None:
    lines = '{"data": 1}\n' * 102 + "nonsense\n"

    result = run("publish", "news", "-", input=lines)

    assert result.exit_code == 1
    assert result.stderr.startswith("Not published from line 101 on: 422 ")
    assert ": line 103: " in result.stderr
    assert result.stderr.count("\n") == 1
    assert len(result.stdout.split()) == 100


def test_empty_stdin_publishes_nothing(run: Run) -> None:
    result = run("publish", "news", "-", input="")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_event_name_for_lines_of_stdin_is_rejected(run: Run) -> None:
    result = run("publish", "news", "-", "--event", "tick", input='{"data": 1}\n')

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Invalid --event='tick': each line has its own.\n"


def test_unavailable_service_is_named_in_one_line(run: Run) -> None:
    result = run("publish", "news", json.dumps("text"), url="http://127.0.0.1:1")

    assert result.stderr == "[Errno 111] Connection refused.\n"
    assert result.exit_code == 1


def test_invalid_topic_is_rejected_in_one_line(run: Run) -> None:
    result = run("publish", "a?b", "1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Invalid topic 'a?b': expected ")
    assert result.stderr.count("\n") == 1
