"""Exports as small as a client asks for, and not a row later for it."""

import gzip
import zlib
from collections.abc import Callable
from itertools import count
from threading import Event
from typing import Any

import httpx2
import pytest
import zstandard
from fastapi import FastAPI
from fastapi.testclient import TestClient

from .conftest import Content
from .formats import Export


def decompress_zstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "zstd": decompress_zstd,
}
PATIENCE = 5.0


def raw_body(client: TestClient, path: str, accepted: str) -> tuple[httpx2.Headers, bytes]:
    with client.stream("GET", path, headers={"Accept-Encoding": accepted}) as response:
        return response.headers, b"".join(response.iter_raw())


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, zstd;q=0", "gzip"),
        ("*", "zstd"),
    ],
)
def test_an_export_is_smaller_and_the_same_when_that_is_asked_for(
    client: TestClient, export: Export, accepted: str, coding: str
) -> None:
    _, plain = raw_body(client, export.path, "identity")

    headers, body = raw_body(client, export.path, accepted)

    assert headers["Content-Encoding"] == coding
    assert "Accept-Encoding" in headers["Vary"]
    assert len(body) < len(plain) / 2
    assert DECOMPRESS[coding](body) == plain


@pytest.mark.parametrize("accepted", ["", "identity", "gzip;q=0, zstd;q=0", "br", "deflate"])
def test_an_export_is_as_it_is_when_nothing_else_is_asked_for(
    client: TestClient, export: Export, accepted: str
) -> None:
    headers, body = raw_body(client, export.path, accepted)

    assert "Content-Encoding" not in headers
    assert export.read(body.decode())


@pytest.mark.parametrize("coding", DECOMPRESS)
def test_head_says_what_get_would_answer(client: TestClient, export: Export, coding: str) -> None:
    response = client.head(export.path, headers={"Accept-Encoding": coding})

    assert response.status_code == 200
    assert response.headers["Content-Encoding"] == coding
    assert "Accept-Encoding" in response.headers["Vary"]


def test_rows_leave_while_others_are_still_read(
    app: FastAPI, server: str, export: Export, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    content.replace(export.table, [export.row(id, name="x" * 100_000) for id in range(20)])
    received = Event()
    readers = app.state.database.readers
    submit = readers.submit
    steps = count(1)

    def submit_late(*work: Any) -> Any:
        """Read no third chunk before the client has something of the first."""
        if next(steps) == 3:
            submit(received.wait, PATIENCE)
        return submit(*work)

    monkeypatch.setattr(readers, "submit", submit_late)
    headers = {"Accept-Encoding": "gzip"}
    with httpx2.stream("GET", server + export.path, headers=headers, timeout=1) as response:
        parts = map(zlib.decompressobj(31).decompress, response.iter_raw())
        start = next(filter(None, parts))
        received.set()
        whole = start + b"".join(parts)

    assert len(export.read(whole.decode())) == 20
#{% if cookiecutter.sse %}


def test_events_are_never_compressed(server: str) -> None:
    headers = {"Accept-Encoding": "gzip, zstd"}

    with httpx2.stream("GET", f"{server}/events/test", headers=headers) as response:
        start = next(response.iter_raw())

    assert "Content-Encoding" not in response.headers
    assert b"event: ready" in start
#{% endif %}


@pytest.mark.parametrize("coding", DECOMPRESS)
def test_a_failure_in_mid_stream_is_a_failed_transfer_when_compressed(
    server: str, content: Content, export: Export, coding: str
) -> None:
    content.replace(export.table, [export.row(id) for id in range(2000)])
    content.fail_at(export.table, 1900)

    headers = {"Accept-Encoding": coding}

    with httpx2.stream("GET", server + export.path, headers=headers) as response:
        assert response.headers["Content-Encoding"] == coding
        body = response.iter_raw()
        with pytest.raises(httpx2.RemoteProtocolError):
            list(body)


def test_a_refusal_is_a_problem_document_when_compressed(
    client: TestClient, content: Content, export: Export
) -> None:
    content.run(f"DROP TABLE {export.table.name}")

    response = client.get(export.path, headers={"Accept-Encoding": "gzip"})

    assert response.status_code == 503
    assert response.json()["status"] == 503
