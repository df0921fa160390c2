"""Following topics by the command line, through whatever happens on the way."""

import io
import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from fastapi import FastAPI, Request, Response

from {{ cookiecutter.__package_name }}.client import connect, tail
from {{ cookiecutter.__package_name }}.client.position import Position
from {{ cookiecutter.__package_name }}.client.tail import Published, Tail, printer
from {{ cookiecutter.__package_name }}.events.routes import broker_of
from {{ cookiecutter.__package_name }}.settings import Settings

from ..events.test_live import BrokenBroker
from ..live.process import PATIENCE, SERVE
from .conftest import Run
from .relay import relay


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One stream a client, and streams that end before a test waits for them in vain."""
    limits = {"max_stream_seconds": 20, "max_streams_per_client": 1}
    return settings.model_copy(update=limits)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a client waited for, which take no time here."""
    waits: list[float] = []
    monkeypatch.setattr(tail, "sleep", waits.append)
    return waits


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """An application that ends a topic as a job does that fails."""

    @app.post("/fail/{topic}")
    async def fail(topic: str, request: Request) -> None:
        await request.app.state.broker.finish(topic, b'{"title":"It failed."}', "stream-error")

    return app


@pytest.fixture
def http(server: str) -> Iterator[httpx2.Client]:
    """What publishes."""
    with httpx2.Client(base_url=server, timeout=PATIENCE) as http:
        yield http


def finished_job(http: httpx2.Client, steps: int = 3) -> str:
    """Run a job to its end; return its topic."""
    started = http.post("/jobs", json={"steps": steps, "interval": 0})
    with http.sse(started.headers["location"]) as events:
        assert [event.event for event in events][-1] == "done"
    topic: str = started.json()["topic"]
    return topic


def printed(output: str) -> list[dict[str, Any]]:
    """Return the events that were printed, one a line."""
    return [json.loads(line) for line in output.splitlines()]


def test_every_event_is_a_line_of_json_and_the_last_one_ends_it(
    http: httpx2.Client, run: Run
) -> None:
    topic = finished_job(http, steps=2)

    result = run("tail", topic, "--after", "earliest")

    assert result.exit_code == 0
    first, second, done = printed(result.stdout)
    assert first == {
        "id": first["id"],
        "event": "message",
        "topic": topic,
        "data": {"topic": topic, "count": 0},
    }
    assert second["data"]["count"] == 1
    assert (done["event"], done["data"]) == ("done", {"done": True})
    assert first["id"] < second["id"] < done["id"]
    assert result.stderr == ""


def test_several_topics_are_followed_until_the_last_one_is_finished(
    http: httpx2.Client, run: Run, tmp_path: Path
) -> None:
    topics = [finished_job(http), finished_job(http)]
    arguments = ("tail", *topics, topics[0], "--after", "earliest", "--state", str(tmp_path / "s"))

    result, again = run(*arguments), run(*arguments)

    events = printed(result.stdout)
    assert [event["topic"] for event in events] == [topics[0]] * 4 + [topics[1]] * 4
    assert [event["data"].get("count") for event in events] == [0, 1, 2, None] * 2
    assert (result.exit_code, again.exit_code, again.stdout) == (0, 0, "")


def test_a_topic_that_is_named_twice_is_one_topic(http: httpx2.Client, run: Run) -> None:
    topic = finished_job(http)

    result = run("tail", topic, topic, "--after", "earliest")

    assert result.exit_code == 0
    assert len(printed(result.stdout)) == 4


@pytest.mark.parametrize("step", [97, 131, 500])
def test_a_tail_that_is_cut_again_and_again_prints_every_event_once(
    http: httpx2.Client, server: str, run: Run, step: int
) -> None:
    topic = finished_job(http, steps=20)

    with relay(server, range(step, 5000, step)) as url:
        result = run("tail", topic, "--after", "earliest", url=url)

    assert result.exit_code == 0
    assert [event["data"].get("count") for event in printed(result.stdout)] == [*range(20), None]
    assert "peer closed connection" in result.stderr


def test_a_restarted_tail_goes_on_where_it_was(http: httpx2.Client, run: Run) -> None:
    topic = finished_job(http)
    state = ("--state", "position")
    (first, *_) = printed(run("tail", topic, "--after", "earliest").stdout)
    Position(None, Path("position")).move(first["id"])

    rest, nothing = (run("tail", topic, "--after", "earliest", *state) for _ in range(2))

    assert [event["data"].get("count") for event in printed(rest.stdout)] == [1, 2, None]
    assert (nothing.exit_code, nothing.stdout) == (0, "")


def test_an_event_that_could_not_be_printed_comes_again(
    http: httpx2.Client, server: str, tmp_path: Path
) -> None:
    topic, shown = finished_job(http), list[int | None]()

    def show(event: Published) -> None:
        count = json.loads(bytes(event.data)).get("count")
        if count == 1 and count not in shown[:-1] and len(shown) == 1:
            shown.append(None)
            raise BrokenPipeError
        shown.append(count)

    def follow() -> None:
        with connect(server, Settings(), patience=PATIENCE) as client:
            Tail(client, [topic], Position("earliest", tmp_path / "state"), show).run()

    with pytest.raises(BrokenPipeError):
        follow()
    follow()

    assert shown == [0, None, 1, 2, None]


def test_a_loss_of_events_is_told(http: httpx2.Client, run: Run, tmp_path: Path) -> None:
    topic = finished_job(http)
    (tmp_path / "state").write_text("of-another-life\n")

    result = run("tail", topic, "--state", str(tmp_path / "state"))

    assert result.stderr.startswith("reset: ")
    assert len(printed(result.stdout)) == 4
    assert result.exit_code == 0


def test_a_job_that_fails_is_printed_and_told(http: httpx2.Client, run: Run) -> None:
    http.post("/fail/work").raise_for_status()

    result = run("tail", "work", "--after", "earliest")

    (event,) = printed(result.stdout)
    assert (event["event"], event["data"]) == ("stream-error", {"title": "It failed."})
    assert result.stderr == "work: It failed.\n"
    assert result.exit_code == 1


def test_a_stream_that_fails_is_told_and_is_no_event(app: FastAPI, run: Run) -> None:
    app.dependency_overrides[broker_of] = BrokenBroker

    result = run("tail", "news")

    assert (result.stdout, result.stderr) == ("", "The stream failed.\n")
    assert result.exit_code == 1


def test_a_stream_that_fails_later_is_no_event_of_a_topic_either(
    app: FastAPI, server: str, run: Run
) -> None:
    @app.get("/other/events/news")
    async def news() -> Response:
        body = 'id: 7\nevent: ready\ndata: {}\n\nevent: stream-error\ndata: {"title":"Gone."}\n\n'
        return Response(body, media_type="text/event-stream")

    result = run("tail", "news", url=f"{server}/other")

    assert (result.stdout, result.stderr) == ("", "Gone.\n")


def test_a_refusal_is_told_in_the_words_of_the_service(run: Run) -> None:
    result = run("tail", *(f"topic-{number}" for number in range(51)))

    assert result.stderr.startswith("422 Unprocessable ")
    assert result.stderr.endswith(": 51 topics: one stream carries at most 50.\n")
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a/b"], "TOPIC='a/b' is not accepted: 1 to 128 letters, digits, '.', '_' and '-' are."),
        (["news", "--after", "ü"], "--after='ü' is not accepted: it is no event's id."),
        (["news", "--state", "."], "--state=. cannot be read: Is a directory."),
    ],
)
def test_a_bad_argument_is_named_in_one_sentence(
    run: Run, arguments: list[str], sentence: str
) -> None:
    result = run("tail", *arguments)

    assert result.stderr == f"{sentence}\n"
    assert result.exit_code == 1


def test_a_service_that_says_later_is_asked_later(
    http: httpx2.Client, run: Run, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = finished_job(http)

    with http.stream("GET", "/events/other") as occupied:

        def leave(seconds: float) -> None:
            waits.append(seconds)
            occupied.close()

        monkeypatch.setattr(tail, "sleep", leave)
        result = run("tail", topic, "--after", "earliest")

    assert set(waits) == {5}
    assert "429 Too Many Requests: " in result.stderr
    assert "(again in 5 s)" in result.stderr
    assert len(printed(result.stdout)) == 4
    assert result.exit_code == 0


def test_a_service_that_is_away_is_waited_for_ever_longer(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(tail, "sleep", wait)

    result = run("tail", "news", url="http://127.0.0.1:1")

    assert waits == [2, 4, 8, 16, 30, 30]
    assert result.stderr.startswith("[Errno 111] Connection refused (again in 2 s)\n")
    assert result.exit_code == 130


def test_a_stream_that_ends_is_asked_for_again_when_it_said(
    app: FastAPI, server: str, run: Run, waits: list[float]
) -> None:
    bodies = ["retry: 1500\n\n", "retry: 100\nid: 7\ndata: 1\n\n", "event: done\ndata: 2\n\n"]
    asked: list[str | None] = []

    @app.get("/other/events/news")
    async def news(request: Request) -> Response:
        asked.append(request.headers.get("last-event-id"))
        return Response(bodies.pop(0), media_type="text/event-stream")

    result = run("tail", "news", url=f"{server}/other")

    assert waits == [1.5, 0.1]
    assert asked == [None, None, "7"]
    assert [event["data"] for event in printed(result.stdout)] == [1, 2]
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("media_type", "body", "sentence"),
    [
        ("application/json", "{}", "This is no stream of events: "),
        ("text/event-stream", "id: 7\ndata: no json\n\n", "The event 7 is none of this service: "),
    ],
)
def test_what_is_no_service_of_this_kind_is_told(
    app: FastAPI, server: str, run: Run, media_type: str, body: str, sentence: str
) -> None:
    @app.get("/other/events/news")
    async def news() -> Response:
        return Response(body, media_type=media_type)

    result = run("tail", "news", url=f"{server}/other")

    assert result.stderr.startswith(sentence)
    assert result.exit_code == 1


def test_events_are_readable_on_a_terminal_and_do_not_control_it() -> None:
    data = msgspec.Raw('{"text":"Grüße \x9b31m"}'.encode())
    master, slave = pty.openpty()

    with os.fdopen(slave, "w") as terminal:
        printer(terminal)(Published("7-1", "tick", "news", data))
    with os.fdopen(master, "rb", buffering=0) as screen:
        shown = screen.read(4096).decode()

    assert "7-1" in shown
    assert "\x1b[" in shown
    assert "Grüße \\u009b31m" in shown


def test_a_pipe_gets_json_on_one_line() -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    printer(output)(Published("7-1", "tick", "news", msgspec.Raw(b'["\xc3\xbc"]')))

    assert output.buffer.getvalue().decode() == (
        '{"id":"7-1","event":"tick","topic":"news","data":["ü"]}\n'
    )


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command, whose output goes into pipes."""
    command = [SERVE[0], *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as running:  # noqa: S603
        try:
            yield running
        finally:
            running.kill()


def test_ctrl_c_ends_a_tail_quietly(http: httpx2.Client, server: str) -> None:
    event = http.post("/events/news", json={"data": 1}).json()

    with process("tail", "news", "--after", "earliest", "--url", server) as running:
        assert running.stdout
        assert json.loads(running.stdout.readline())["id"] == event["id"]
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=PATIENCE)

    assert (running.returncode, said) == (130, b"")


def test_a_reader_that_had_enough_ends_a_tail_quietly(http: httpx2.Client, server: str) -> None:
    topic = finished_job(http, steps=10)

    with process("tail", topic, "--after", "earliest", "--url", server) as running:
        assert running.stdout
        with closing(running.stdout):
            running.stdout.readline()
        assert running.stderr
        said = running.stderr.read()

    assert said == b""
