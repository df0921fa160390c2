"""Following topics by the command line, across reconnections."""

import io
import json
import os
import re
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from fastapi import FastAPI, Request, Response

from streaming_api.settings import Settings
from streaming_api.streaming.client import tail
from streaming_api.streaming.client.position import Position
from streaming_api.streaming.client.service import connect, printable
from streaming_api.streaming.client.tail import Published, Tail, printer
from streaming_api.streaming.events.routes import BrokerDep, get_broker
from streaming_api.streaming.problems import ProblemResponse

from ..events.test_live import FailingBroker
from ..variant import REDIS
from .conftest import TIMEOUT, Run, Start
from .relay import relay


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One stream per client, and streams that end before a test waits in vain."""
    limits = {"max_stream_seconds": 20, "max_streams_per_client": 1}
    return settings.model_copy(update=limits)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a client would wait for."""
    waits: list[float] = []
    monkeypatch.setattr(tail, "sleep", waits.append)
    return waits


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """The application with a route that publishes counts, and finishes the topic."""

    @app.post("/finish/{topic}")
    async def finish(broker: BrokerDep, topic: str, counts: int = 3, failure: str = "") -> None:
        for count in range(counts):
            await broker.publish(topic, {"count": count})
        if failure:
            await broker.finish(topic, {"title": failure}, "stream-error")
        else:
            await broker.finish(topic, {"done": True})

    return app


def finish(http: httpx2.Client, topic: str = "work", **params: Any) -> str:
    """Publish counts from 0 and finish the topic; return it."""
    http.post(f"/finish/{topic}", params=params).raise_for_status()
    return topic


def printed(output: str) -> list[dict[str, Any]]:
    """Return the printed events, one per line."""
    return [json.loads(line) for line in output.splitlines()]


def counts(output: str) -> list[int | None]:
    """Return the printed counts, and `None` for each last event."""
    return [event["data"].get("count") for event in printed(output)]


def test_events_are_json_lines_up_to_the_last(http: httpx2.Client, run: Run) -> None:
    topic = finish(http, counts=2)

    result = run("tail", topic, "--after", "earliest")

    assert result.exit_code == 0
    first, second, done = printed(result.stdout)
    assert first == {"id": first["id"], "event": "message", "topic": topic, "data": {"count": 0}}
    assert second["data"] == {"count": 1}
    assert (done["event"], done["data"]) == ("done", {"done": True})
    assert first["id"] < second["id"] < done["id"]
    assert result.stderr == ""


def test_topics_are_followed_until_all_are_finished(
    http: httpx2.Client, run: Run, tmp_path: Path
) -> None:
    topics = [finish(http, "one"), finish(http, "two")]
    arguments = ("tail", *topics, topics[0], "--after", "earliest", "--state", str(tmp_path / "s"))

    result, again = run(*arguments), run(*arguments)

    assert [event["topic"] for event in printed(result.stdout)] == ["one"] * 4 + ["two"] * 4
    assert counts(result.stdout) == [0, 1, 2, None] * 2
    assert (result.exit_code, again.exit_code, again.stdout) == (0, 0, "")


def test_duplicate_topic_is_followed_once(http: httpx2.Client, run: Run) -> None:
    topic = finish(http)

    result = run("tail", topic, topic, "--after", "earliest")

    assert result.exit_code == 0
    assert counts(result.stdout) == [0, 1, 2, None]


@pytest.mark.parametrize("step", [97, 131, 500])
def test_broken_stream_resumes_without_loss_or_duplicate(
    http: httpx2.Client, server: str, run: Run, step: int
) -> None:
    topic = finish(http, counts=20)

    with relay(server, range(step, 5000, step)) as url:
        result = run("tail", topic, "--after", "earliest", url=url)

    assert result.exit_code == 0
    assert counts(result.stdout) == [*range(20), None]
    assert "peer closed connection" in result.stderr


def test_state_file_resumes_after_restart(http: httpx2.Client, run: Run) -> None:
    topic = finish(http)
    (first, *_) = printed(run("tail", topic, "--after", "earliest").stdout)
    Position(None, Path("position")).move(first["id"])

    arguments = ("tail", topic, "--after", "earliest", "--state", "position")
    rest, nothing = run(*arguments), run(*arguments)

    assert counts(rest.stdout) == [1, 2, None]
    assert (nothing.exit_code, nothing.stdout) == (0, "")


def test_event_that_was_not_printed_is_printed_later(
    http: httpx2.Client, server: str, tmp_path: Path
) -> None:
    topic, shown = finish(http), list[int | str | None]()

    def show(event: Published) -> None:
        count = json.loads(bytes(event.data)).get("count")
        if count == 1 and len(shown) == 1:
            shown.append("broken")
            raise BrokenPipeError
        shown.append(count)

    def follow() -> None:
        with connect(server, Settings(), timeout=TIMEOUT) as client:
            Tail(client, [topic], Position("earliest", tmp_path / "state"), show).run()

    with pytest.raises(BrokenPipeError):
        follow()
    follow()

    assert shown == [0, "broken", 1, 2, None]


def test_lost_events_are_reported(http: httpx2.Client, run: Run, tmp_path: Path) -> None:
    topic = finish(http)
    (tmp_path / "state").write_text("unknown\n")

    result = run("tail", topic, "--state", str(tmp_path / "state"))

    assert result.stderr.startswith("reset: ")
    assert counts(result.stdout) == [0, 1, 2, None]
    assert result.exit_code == 0


@pytest.mark.parametrize("more", [[], ["other"]])
def test_failed_topic_is_printed_and_reported(
    http: httpx2.Client, run: Run, more: list[str]
) -> None:
    topic = finish(http, counts=0, failure="It failed.")

    result = run("tail", topic, *more, "--after", "earliest")

    (event,) = printed(result.stdout)
    assert (event["event"], event["data"]) == ("stream-error", {"title": "It failed."})
    assert result.stderr == "work: It failed.\n"
    assert result.exit_code == 1


def test_failed_stream_is_reported_and_reopened(
    app: FastAPI, http: httpx2.Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = finish(http)
    waits: list[float] = []

    def mend(seconds: float) -> None:
        waits.append(seconds)
        app.dependency_overrides.clear()

    monkeypatch.setattr(tail, "sleep", mend)
    app.dependency_overrides[get_broker] = FailingBroker

    result = run("tail", topic, "--after", "earliest")

    assert result.stderr == "The stream failed. (reconnecting in 2 s)\n"
    assert waits == [2]
    assert counts(result.stdout) == [0, 1, 2, None]
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('{"title":"Gone."}', "Gone."),
        ("{}", "The stream failed."),
        ("text", "The stream failed."),
        ('{"title":1}', "The stream failed."),
        ('{"name":' + "[" * 5000, "The stream failed."),
    ],
)
def test_stream_that_fails_after_an_id_is_not_printed(
    app: FastAPI, server: str, run: Run, data: str, reason: str
) -> None:
    bodies = [
        f"id: 7\nevent: ready\ndata: {{}}\n\nevent: stream-error\ndata: {data}\n\n",
        "id: 8\nevent: done\ndata: 1\n\n",
    ]

    @app.get("/other/events/news")
    async def news() -> Response:
        return Response(bodies.pop(0), media_type="text/event-stream")

    result = run("tail", "news", url=f"{server}/other")

    assert result.stderr == f"{reason} (reconnecting in 2 s)\n"
    assert [event["id"] for event in printed(result.stdout)] == ["8"]
    assert result.exit_code == 0


def test_id_without_event_is_a_position(app: FastAPI, server: str, run: Run) -> None:
    requested: list[str | None] = []

    @app.get("/other/events/news")
    async def stream(request: Request) -> Response:
        requested.append(request.headers.get("last-event-id"))
        if len(requested) > 1:
            return Response(status_code=204)
        return Response("retry: 0\n\n: heartbeat\nid: 7\n\n", media_type="text/event-stream")

    result = run("tail", "news", url=f"{server}/other")

    assert (result.exit_code, result.stdout) == (0, "")
    assert requested == [None, "7"]


@pytest.mark.skipif(not REDIS, reason="no Redis")
def test_lost_data_of_redis_is_reported_and_stream_reopened(
    request: pytest.FixtureRequest,
    http: httpx2.Client,
    server: str,
    waits: list[float],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from redis import Redis

    from ...redis_server import delete_events

    url = request.getfixturevalue("redis_url")
    http.post("/events/work", json={"data": "first"}).raise_for_status()
    shown: list[Any] = []

    def lose(event: Published) -> None:
        shown.append(json.loads(bytes(event.data)))
        if len(shown) == 1:
            with Redis.from_url(url) as redis:
                delete_events(redis)
            http.post("/events/work", json={"data": "second"}).raise_for_status()

    def finish_topic(seconds: float) -> None:
        waits.append(seconds)
        finish(http, counts=0)

    monkeypatch.setattr(tail, "sleep", finish_topic)
    with connect(server, Settings(), timeout=TIMEOUT) as client:
        Tail(client, ["work"], Position("earliest"), lose).run()

    assert waits
    assert "\nreset: " in capsys.readouterr().err
    assert shown == ["first", "second", {"done": True}]


def test_rejected_request_is_described(run: Run) -> None:
    result = run("tail", *(f"topic-{number}" for number in range(51)))

    assert result.stderr == (
        "422 Unprocessable Entity: Too many topics: expected up to 50, got 51.\n"
    )
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a/b"], "Invalid topic 'a/b': expected up to 128 of A-Z a-z 0-9 . _ -."),
        (["news", "--after", "ü"], "Invalid --after='ü': expected the id of an event."),
        (["news", "--state", "."], "Invalid --state='.': expected a regular file."),
        (["news", "--state", "/dev/null"], "Invalid --state='/dev/null': expected a regular file."),
    ],
)
def test_invalid_argument_is_named_in_one_line(
    run: Run, arguments: list[str], message: str
) -> None:
    result = run("tail", *arguments)

    assert result.stderr == f"{message}\n"
    assert result.exit_code == 1


def test_too_many_streams_are_retried_after_the_given_time(
    http: httpx2.Client, run: Run, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = finish(http)

    with http.stream("GET", "/events/other") as occupied:

        def leave(seconds: float) -> None:
            waits.append(seconds)
            occupied.close()

        monkeypatch.setattr(tail, "sleep", leave)
        result = run("tail", topic, "--after", "earliest")

    assert set(waits) == {5}
    assert "429 Too Many Requests: " in result.stderr
    assert "(reconnecting in 5 s)" in result.stderr
    assert counts(result.stdout) == [0, 1, 2, None]
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7), ("soon", 2), ("999999999", 3600), ("9" * 5000, 2), ("-7", 2), ("7.5", 2)],
)
def test_server_error_is_retried(
    app: FastAPI, server: str, run: Run, waits: list[float], retry_after: str, seconds: float
) -> None:
    statuses = [503, 204]

    @app.get("/other/events/news")
    async def news() -> Response:
        return Response(status_code=statuses.pop(0), headers={"Retry-After": retry_after})

    result = run("tail", "news", url=f"{server}/other")

    assert waits == [seconds]
    assert result.stderr.startswith("503 Service Unavailable (reconnecting in ")
    assert (result.exit_code, result.stdout) == (0, "")


def test_unavailable_service_is_retried_with_backoff(
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
    assert result.stderr.startswith("[Errno 111] Connection refused (reconnecting in 2 s)\n")
    assert result.exit_code == 130


def test_ended_stream_is_reopened_after_its_retry_time(
    app: FastAPI, server: str, run: Run, waits: list[float]
) -> None:
    bodies = [
        "retry: 1500\n\n",
        "retry: 100\nid: 7\ndata: 1\n\n",
        "retry: 0\n\n",
        "retry: -5\n\n",
        f"retry: {10**20}\n\n",
        "event: done\ndata: 2\n\n",
    ]
    ids: list[str | None] = []

    @app.get("/other/events/news")
    async def news(request: Request) -> Response:
        ids.append(request.headers.get("last-event-id"))
        return Response(bodies.pop(0), media_type="text/event-stream")

    result = run("tail", "news", url=f"{server}/other")

    assert waits == [1.5, 0.1, 0.1, 0.1, 3600]
    assert ids == [None, None, *["7"] * 4]
    assert [event["data"] for event in printed(result.stdout)] == [1, 2]
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("topics", "media_type", "body", "message"),
    [
        (["news"], "application/json", "{}", "The response is not an event stream: "),
        (["news"], "text/event-stream", "id: 7\ndata: x\n\n", "Invalid data of event 7: "),
        (["news", "b"], "text/event-stream", "id: 7\ndata: 1\n\n", "Invalid data of event 7: "),
        (
            ["news"],
            "text/event-stream",
            f"id: 7\ndata: {'[' * 5000}\n\n",
            "Invalid data of event 7: ",
        ),
        (["news"], "text/event-stream", "id: \x1b[1m\ndata: 1\n\n", "Invalid id of an event: "),
        (["news"], "text/event-stream", "id: ü\ndata: 1\n\n", "Invalid id of an event: "),
    ],
)
def test_response_of_another_service_is_named(
    app: FastAPI,
    server: str,
    run: Run,
    topics: list[str],
    media_type: str,
    body: str,
    message: str,
) -> None:
    @app.get("/other/events/news")
    async def news() -> Response:
        return Response(body, media_type=media_type)

    result = run("tail", *topics, url=f"{server}/other")

    assert result.stderr.startswith(message)
    assert result.exit_code == 1


def test_many_failures_in_a_row_wait_no_longer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(tail, "sleep", wait)
    with connect("http://127.0.0.1:1", Settings(), timeout=TIMEOUT) as client:
        follower = Tail(client, ["news"], Position(None), lambda _: None)
        follower._failures = 2000
        with pytest.raises(KeyboardInterrupt):
            follower.run()

    assert waits == [30, 30, 30]


def test_response_that_cannot_be_decoded_is_retried(
    app: FastAPI, server: str, run: Run, waits: list[float]
) -> None:
    statuses = [200, 204]

    @app.get("/other/events/news")
    async def news() -> Response:
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/event-stream"}
        return Response(b"no gzip", statuses.pop(0), headers)

    result = run("tail", "news", url=f"{server}/other")

    assert waits == [2]
    assert result.exit_code == 0


DANGEROUS = ["\x1b]0;title\x07", "\x9b31m", "\x7f", "\u202e", "\u2028"]


def on_terminal(event: Published, encoding: str = "utf-8") -> str:
    """Return what `tail` writes to a terminal; skip the test where there is none."""
    if not hasattr(os, "openpty"):
        pytest.skip("needs a pseudo-terminal")
    master, slave = os.openpty()
    with os.fdopen(slave, "w", encoding=encoding) as terminal:
        printer(terminal)(event)
    with os.fdopen(master, "rb", buffering=0) as screen:
        return screen.read(4096).decode()


def test_terminal_shows_events_in_colours() -> None:
    shown = on_terminal(Published("7-1", "tick", "news", msgspec.Raw('{"a":"Grüße"}'.encode())))

    assert "\x1b[" in shown
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == '7-1 news tick {"a":"Grüße"}\r\n'


def test_terminal_of_another_encoding_shows_escapes() -> None:
    event = Published("7-1", "日", "news", msgspec.Raw('"👋"'.encode()))

    shown = on_terminal(event, "ascii")

    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == '7-1 news \\u65e5 "\\U0001f44b"\r\n'


@pytest.mark.parametrize("text", DANGEROUS)
def test_event_cannot_control_the_terminal(text: str) -> None:
    # Control characters of ASCII are escaped in JSON; other servers may not do it.
    data = msgspec.Raw(f'"{text}"'.encode())

    shown = on_terminal(Published(text, text, text, data))

    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", shown).removesuffix("\r\n")
    assert without_colours == " ".join([printable(text)] * 3 + [f'"{printable(text)}"'])
    assert without_colours.isprintable()


@pytest.mark.parametrize("text", DANGEROUS)
def test_pipe_gets_no_characters_that_control_a_terminal(text: str) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    data = msgspec.json.encode({"text": text})

    printer(output)(Published("7-1", text, "news", msgspec.Raw(data)))

    line = output.buffer.getvalue().decode().removesuffix("\n")
    assert line.isprintable()
    assert json.loads(line)["event"] == json.loads(line)["data"]["text"] == text


def test_data_of_several_lines_is_printed_on_one(app: FastAPI, server: str, run: Run) -> None:
    @app.get("/other/events/news")
    async def news() -> Response:
        body = 'id: 7\nevent: done\ndata: [1,\ndata: {"id":"8"}\ndata: ]\n\n'
        return Response(body, media_type="text/event-stream")

    result = run("tail", "news", url=f"{server}/other")

    (event,) = printed(result.stdout)
    assert event["data"] == [1, {"id": "8"}]


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "unknown"])
def test_stream_is_utf_8_whatever_its_charset(
    app: FastAPI, server: str, run: Run, charset: str
) -> None:
    @app.get("/other/events/news")
    async def news() -> Response:
        body = '\ufeffid: 7\nevent: done\ndata: "ü"\n\n'.encode()
        return Response(body, media_type=f"text/event-stream; charset={charset}")

    result = run("tail", "news", url=f"{server}/other")

    assert [event["data"] for event in printed(result.stdout)] == ["ü"]


@pytest.mark.parametrize("status", [418, 503])
def test_status_of_server_cannot_control_the_terminal(
    app: FastAPI, server: str, run: Run, status: int
) -> None:
    statuses = [status, 418]

    @app.get("/other/events/news")
    async def news() -> Response:
        return ProblemResponse(statuses.pop(0), "\x1b]0;title\x07\x9b\u202e")

    result = run("tail", "news", url=f"{server}/other")

    assert result.exit_code == 1
    for line in result.stderr.splitlines():
        assert "\\u001b]0;title\\u0007\\u009b\\u202e" in line
        assert line.isprintable()


def test_pipe_gets_one_line_of_json() -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    printer(output)(Published("7-1", "tick", "news", msgspec.Raw(b'["\xc3\xbc"]')))

    assert output.buffer.getvalue().decode() == (
        '{"id":"7-1","event":"tick","topic":"news","data":["ü"]}\n'
    )


def test_ctrl_c_ends_quietly(http: httpx2.Client, start: Start) -> None:
    event = http.post("/events/news", json={"data": 1}).json()

    with start("tail", "news", "--after", "earliest") as running:
        assert running.stdout
        assert json.loads(running.stdout.readline())["id"] == event["id"]
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=TIMEOUT)

    assert (running.returncode, stderr) == (130, b"")


def test_closed_pipe_ends_quietly(http: httpx2.Client, start: Start) -> None:
    topic = finish(http, counts=10)

    with start("tail", topic, "--after", "earliest") as running:
        assert running.stdout
        with closing(running.stdout):
            running.stdout.readline()
        assert running.stderr
        stderr = running.stderr.read()

    assert stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_is_named_in_one_line(http: httpx2.Client, start: Start) -> None:
    topic = finish(http)

    with (
        Path("/dev/full").open("wb") as full,
        start("tail", topic, "--after", "earliest", stdout=full) as running,
    ):
        _, stderr = running.communicate(timeout=TIMEOUT)

    assert (running.returncode, stderr) == (1, b"No space left on device.\n")
