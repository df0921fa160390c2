"""The bytes of an event stream, and what clients make of them."""

import json
import math

import pytest
from httpx2 import EventSource, Request, Response, ServerSentEvent
from hypothesis import given
from hypothesis import strategies as st

from {{ cookiecutter.__package_name }}.events.wire import (
    HEARTBEAT,
    Event,
    encode_event,
    encode_json,
    encode_ready,
    encode_retry,
)

LINE_ENDS = ["\r", "\n", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("".join(LINE_ENDS)))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
json_values = st.recursive(
    scalars.filter(lambda value: not (isinstance(value, float) and math.isinf(value))),
    lambda values: st.lists(values) | st.dictionaries(texts, values),
    max_leaves=20,
)


def decode(stream: bytes) -> list[ServerSentEvent]:
    """Return the events that a client of its own makes of `stream`."""
    request = Request("GET", "http://test")
    headers = {"Content-Type": "text/event-stream"}
    return list(EventSource(Response(200, headers=headers, content=stream, request=request)))


@given(json_values)
def test_any_json_value_survives_the_way_to_a_client(value: object) -> None:
    event = Event("1-1", "a", encode_json(value), "tick")

    (alone,) = decode(event.alone)
    (tagged,) = decode(event.tagged)

    assert alone.json() == value
    assert tagged.json() == {"topic": "a", "data": value}
    assert (alone.event, alone.id) == (tagged.event, tagged.id) == ("tick", "1-1")


@given(json_values)
def test_a_datum_is_one_line_for_every_reader(value: object) -> None:
    lines = Event("1-1", "a", encode_json(value)).alone.decode().splitlines()

    assert lines[:1] + lines[2:] == ["id: 1-1", ""]
    assert json.loads(lines[1].removeprefix("data: ")) == value


def test_line_separators_are_escaped() -> None:
    encoded = encode_json({"\u2028": "\u2029\x85"})

    assert encoded == rb'{"\u2028":"\u2029\u0085"}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_float_without_a_number_in_json_is_null(number: float) -> None:
    assert encode_json([number]) == b"[null]"


@pytest.mark.parametrize("number", [2**64, -(2**64), 10**30])
def test_integers_of_any_size_are_exact(number: int) -> None:
    assert encode_json(number) == b"%d" % number


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_json("\ud800")


@pytest.mark.parametrize("line_end", [*LINE_ENDS, "\0"], ids=ascii)
@pytest.mark.parametrize("text", ["{}", "a{}", "a{}data: injected", "{}b"])
def test_a_name_or_id_that_would_start_a_line_is_refused(line_end: str, text: str) -> None:
    text = text.format(line_end)

    for name, id in ((text, "1-1"), (None, text)):
        with pytest.raises(ValueError, match="not one line"):
            encode_event(b"1", name=name, id=id)
        with pytest.raises(ValueError, match="not one line"):
            Event(id, "a", b"1", name)


@given(texts.filter(bool), texts.filter(bool))
def test_any_name_and_id_are_refused_or_arrive_as_they_are(name: str, id: str) -> None:
    try:
        encoded = encode_event(b"1", name=name, id=id)
    except ValueError:
        return

    (event,) = decode(encoded)
    assert (event.event, event.id, event.data) == (name, id, "1")


def test_an_event_has_only_the_fields_that_it_needs() -> None:
    assert encode_event(b"1") == b"data: 1\n\n"
    assert encode_event(b"1", name="tick", id="2-1") == b"id: 2-1\nevent: tick\ndata: 1\n\n"


@pytest.mark.parametrize(("id", "seen"), [(None, ""), ("1-1", "1-1")])
def test_ready_says_when_to_reconnect_and_where_to_resume(id: str | None, seen: str) -> None:
    stream = encode_ready(b"{}", id=id, retry=2000)

    assert b"data: {}" in stream.splitlines()[:3]
    assert decode(stream) == [ServerSentEvent("ready", "{}", seen, 2000)]


def test_a_heartbeat_is_no_event() -> None:
    assert decode(HEARTBEAT) == []


def test_a_retry_alone_carries_nothing_else() -> None:
    assert encode_retry(1500) == b"retry: 1500\n\n"
