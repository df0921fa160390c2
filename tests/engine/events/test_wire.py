"""The bytes of an event stream, and how clients parse them."""

import json
import math
import string
from itertools import accumulate

import pytest
from httpx2 import EventSource, Request, Response, ServerSentEvent
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st

from streaming_api.streaming.events.wire import (
    HEARTBEAT,
    RESERVED_NAMES,
    Event,
    coalesce,
    encode_event,
    encode_json,
    require_event_name,
    require_topic,
)

LINE_ENDS = ["\r", "\n", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
CONTROL_CHARACTERS = ["\0", "\a", "\t", "\x1b", "\x7f", "\x9b"]
TOPIC_CHARACTERS = string.ascii_letters + string.digits + "._-"

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("".join(LINE_ENDS)))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
json_values = st.recursive(
    scalars.filter(lambda value: not (isinstance(value, float) and math.isinf(value))),
    lambda values: st.lists(values) | st.dictionaries(texts, values),
    max_leaves=20,
)


def decode(stream: bytes) -> list[ServerSentEvent]:
    """Return the events that an independent client reads from `stream`."""
    request = Request("GET", "http://test")
    headers = {"Content-Type": "text/event-stream"}
    return list(EventSource(Response(200, headers=headers, content=stream, request=request)))


@configured(deadline=None)
@given(json_values)
def test_event_with_any_json_value_round_trips(value: object) -> None:
    event = Event("1-1", "a", encode_json(value), "tick")

    (encoded,) = decode(event.encode(multiplexed=False))
    (multiplexed,) = decode(event.encode(multiplexed=True))

    assert encoded.json() == value
    assert multiplexed.json() == {"topic": "a", "data": value}
    assert (encoded.event, encoded.id) == (multiplexed.event, multiplexed.id) == ("tick", "1-1")


@configured(deadline=None)
@given(json_values)
def test_data_is_one_line_for_every_reader(value: object) -> None:
    event = Event("1-1", "a", encode_json(value))

    lines = event.encode(multiplexed=False).decode().splitlines()

    assert lines[:1] + lines[2:] == ["id: 1-1", ""]
    assert json.loads(lines[1].removeprefix("data: ")) == value


def test_encode_json_escapes_line_separators() -> None:
    encoded = encode_json({"\u2028": "\u2029\x85"})

    assert encoded == rb'{"\u2028":"\u2029\u0085"}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_encode_json_replaces_non_finite_float_with_null(number: float) -> None:
    assert encode_json([number]) == b"[null]"


@pytest.mark.parametrize("number", [2**64, -(2**64), 10**30])
def test_encode_json_keeps_large_integers_exact(number: int) -> None:
    assert encode_json(number) == b"%d" % number


def test_encode_json_rejects_surrogate() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_json("\ud800")


@pytest.mark.parametrize("character", [*LINE_ENDS, *CONTROL_CHARACTERS], ids=ascii)
@pytest.mark.parametrize("name", ["{}", "a{}", "a{}data: injected", "{}b"])
def test_event_name_with_control_character_is_rejected(character: str, name: str) -> None:
    with pytest.raises(ValueError, match="expected one line"):
        require_event_name(name.format(character))


def test_empty_event_name_is_rejected() -> None:
    with pytest.raises(ValueError, match="expected one line of text"):
        require_event_name("")


def test_long_event_name_counts_as_memory() -> None:
    event = Event("1-1", "a", b"1", "x" * 100_000)

    require_event_name("x" * 100_000)
    assert event.size == Event("1-1", "a", b"1").size + 100_000


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_event_name_that_is_reserved_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="reserved"):
        require_event_name(name)


@configured(deadline=None)
@given(texts.filter(bool))
def test_event_name_is_rejected_or_round_trips(name: str) -> None:
    try:
        require_event_name(name)
    except ValueError:
        return

    (event,) = decode(encode_event(b"1", name=name, id="1-1"))
    assert (event.event, event.id, event.data) == (name, "1-1", "1")
    assert name.splitlines() == [name]


@configured(deadline=None)
@given(st.text(TOPIC_CHARACTERS, max_size=130) | st.text(max_size=3))
def test_topic_is_rejected_unless_plain(topic: str) -> None:
    is_valid = 1 <= len(topic) <= 128 and set(topic) <= set(TOPIC_CHARACTERS)

    try:
        require_topic(topic)
    except ValueError:
        assert not is_valid
    else:
        assert is_valid


def test_event_has_only_the_given_fields() -> None:
    assert encode_event(b"1") == b"data: 1\n\n"
    assert encode_event(b"1", name="tick", id="2-1") == b"id: 2-1\nevent: tick\ndata: 1\n\n"


def test_heartbeat_is_not_an_event() -> None:
    assert decode(HEARTBEAT) == []


@pytest.mark.parametrize("multiplexed", [False, True], ids=["encoded", "multiplexed"])
@configured(deadline=None)
@given(sizes=st.lists(st.integers(0, 200), min_size=1, max_size=20))
def test_coalesce_keeps_events_within_the_limit(multiplexed: bool, sizes: list[int]) -> None:
    events = [Event(f"{n}", "a", b"1" * (size + 1)) for n, size in enumerate(sizes)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streaming_api.streaming.events.wire.CHUNK_BYTES", 100)
        pieces = list(coalesce(events, multiplexed=multiplexed))

    encoded = [event.encode(multiplexed=multiplexed) for event in events]
    assert b"".join(piece for piece, _, _ in pieces) == b"".join(encoded)
    assert all(len(piece) <= 100 for piece, _, _ in pieces)
    assert sum(number for _, number, _ in pieces) == len(events)
    boundaries = set(accumulate(map(len, encoded)))
    ends = accumulate(len(piece) for piece, _, _ in pieces)
    assert [is_partial for _, _, is_partial in pieces] == [end not in boundaries for end in ends]
