"""Bytes of any server reach the terminal as text that cannot control it."""

import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, suppress
from typing import Any, NamedTuple
from unicodedata import category

import httpx2
import pytest
import typer
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st

from streaming_api.streaming.client import exit_on_error, tail
from streaming_api.streaming.client.position import Position
from streaming_api.streaming.client.service import CONTROLS
from streaming_api.streaming.client.tail import Tail, printer

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.TextIOWrapper):
    """A terminal that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        """Return what was written."""
        self.flush()
        data: bytes = self.buffer.getvalue()  # type: ignore[attr-defined]
        return data.decode()


class Pipe(Terminal):
    """A pipe that keeps what is written to it."""

    def isatty(self) -> bool:
        return False


class Answer(NamedTuple):
    """A response of a server: `pieces` are its body."""

    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    pieces: list[bytes]

    def response(self) -> httpx2.Response:
        extensions = {"reason_phrase": self.reason}
        body = iter(self.pieces)
        return httpx2.Response(
            self.status, headers=self.headers, content=body, extensions=extensions
        )


def follow(answers: Sequence[Answer], topics: Sequence[str], output: Terminal) -> str:
    """Let `tail` print to `output` what a server answers; return what it logs."""
    responses: Iterator[httpx2.Response] = map(Answer.response, answers)
    transport = httpx2.MockTransport(lambda _: next(responses, httpx2.Response(204)))
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stderr(io.StringIO()) as log,
        suppress(typer.Exit),
        exit_on_error(),
        httpx2.Client(base_url="http://server", transport=transport) as client,
    ):
        patch.setattr(tail, "sleep", lambda _: None)
        Tail(client, topics, Position(None), printer(output)).run()
    return log.getvalue()


def controls(text: str) -> set[str]:
    """Return the characters of `text` that control a terminal, but line feeds."""
    return {each for each in text if category(each) in CONTROLS and each != "\n"}


characters = st.characters(exclude_categories=["Cs"]) | st.sampled_from(
    "\x1b\x9b\x9d\x07\x00\x7f\r\n\u202e\u2066\u2028\ufeff"
)
texts = st.text(characters) | st.sampled_from(["\x1b]0;title\x07", "\x1b[2J", "\x9b31m"])
values = st.recursive(
    texts | st.none() | st.integers(), lambda each: st.lists(each) | st.dictionaries(texts, each)
)
multiplexed = st.builds(lambda data: {"topic": "a", "data": data}, values)
documents = (
    values | multiplexed | st.fixed_dictionaries({"title": texts, "detail": texts})
).flatmap(lambda value: st.sampled_from([json.dumps(value), json.dumps(value, ensure_ascii=False)]))
ends = st.sampled_from(["\n", "\r", "\r\n"])
ids = st.sampled_from([":", "id: 7", "id: 8"])
names = st.sampled_from([":", "event: done", "event: stream-error", "event: reset"])
others = st.sampled_from([":", "retry: 1"]) | texts
events = st.builds(
    lambda id, name, other, data, end: end.join([id, name, other, f"data: {data}", "", ""]),
    # Another id ends the command.
    ids | ids | ids | texts.map("id: {}".format),
    names | texts.map("event: {}".format),
    others,
    documents | documents | documents | texts,
    ends,
)
streams = st.lists(events | others).map("".join).map(str.encode)


def split(body: bytes, positions: Sequence[int]) -> list[bytes]:
    """Return `body` in pieces."""
    ends = sorted({position % (len(body) + 1) for position in positions} | {len(body)})
    return [body[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def answers(
    statuses: Sequence[int], media_types: st.SearchStrategy[bytes], bodies: st.SearchStrategy[bytes]
) -> st.SearchStrategy[Answer]:
    """Return a strategy for answers whose body is in any pieces."""
    headers = media_types.map(lambda value: [(b"Content-Type", value)])
    pieces: Any = st.builds(split, bodies, st.lists(st.integers(0, 200)))
    reasons = st.binary() | texts.map(str.encode)
    return st.builds(Answer, st.sampled_from(statuses), reasons, headers, pieces)


charsets = st.sampled_from([b"", b";charset=latin-1", b";charset=utf-16", b";charset=utf-7"])
event_streams = answers([200], charsets.map(lambda each: b"text/event-stream" + each), streams)
problems = answers([404, 429, 503], st.just(b"application/problem+json"), documents.map(str.encode))
lines = st.binary().map(lambda data: re.sub(rb"[\r\n\0]", b"", data))
any_answers = answers([200, 404, 503], lines | st.just(b"text/event-stream"), streams | st.binary())


@configured(deadline=None)
@given(
    many=st.lists(event_streams | problems | any_answers, min_size=1, max_size=3),
    topics=st.sampled_from([["a"], ["a", "b"]]),
    output=st.builds(Terminal) | st.builds(Pipe),
    # On a terminal without colours all escape sequences are those of the server.
    term=st.sampled_from(["dumb", "xterm"]),
)
def test_answer_of_any_server_cannot_control_the_terminal(
    many: list[Answer], topics: list[str], output: Terminal, term: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", term)
        log = follow(many, topics, output)

    shown = output.shown()
    assert not controls(log)
    assert not controls(COLOURS.sub("", shown) if term == "xterm" else shown)
