"""Compression of exports, which delays no row."""

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

from ..variant import SSE
from .conftest import Content
from .formats import Format
from .tables import note, notes


def decompress_zstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "zstd": decompress_zstd,
}
TIMEOUT = 10.0


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
def test_accepted_coding_compresses_the_same_bytes(
    client: TestClient, format: Format, accepted: str, coding: str
) -> None:
    _, plain = raw_body(client, format.path(notes), "identity")

    headers, body = raw_body(client, format.path(notes), accepted)

    assert headers["Content-Encoding"] == coding
    assert "Accept-Encoding" in headers["Vary"]
    assert len(body) < len(plain) / 2
    assert DECOMPRESS[coding](body) == plain


@pytest.mark.parametrize("accepted", ["", "identity", "gzip;q=0, zstd;q=0", "br", "deflate"])
def test_export_without_accepted_coding_is_plain(
    client: TestClient, format: Format, accepted: str
) -> None:
    headers, body = raw_body(client, format.path(notes), accepted)

    assert "Content-Encoding" not in headers
    assert format.read(body.decode())


@pytest.mark.parametrize("coding", DECOMPRESS)
def test_head_has_coding_of_get(client: TestClient, format: Format, coding: str) -> None:
    response = client.head(format.path(notes), headers={"Accept-Encoding": coding})

    assert response.status_code == 200
    assert response.headers["Content-Encoding"] == coding
    assert "Accept-Encoding" in response.headers["Vary"]


def test_negotiated_export_varies_by_format_and_coding(client: TestClient) -> None:
    response = client.get("/export/notes", headers={"Accept-Encoding": "gzip"})

    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept, Accept-Encoding"


def test_rows_are_sent_while_others_are_read(
    app: FastAPI, server: str, format: Format, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    content.replace(notes, [note(id, text="x" * 100_000) for id in range(20)])
    received = Event()
    readers = app.state.database.readers
    submit = readers.submit
    steps = count(1)

    def submit_late(*work: Any) -> Any:
        """Read the third chunk after the client has received rows of the first."""
        if next(steps) == 3:
            submit(received.wait, TIMEOUT)
        return submit(*work)

    monkeypatch.setattr(readers, "submit", submit_late)
    headers = {"Accept-Encoding": "gzip"}
    with httpx2.stream("GET", server + format.path(notes), headers=headers, timeout=5) as response:
        parts = map(zlib.decompressobj(31).decompress, response.iter_raw())
        start = next(filter(None, parts))
        received.set()
        whole = start + b"".join(parts)

    assert len(format.read(whole.decode())) == 20


@pytest.mark.skipif(not SSE, reason="no events")
def test_events_are_never_compressed(server: str) -> None:
    headers = {"Accept-Encoding": "gzip, zstd"}

    with httpx2.stream("GET", f"{server}/events/test", headers=headers) as response:
        start = next(response.iter_raw())

    assert "Content-Encoding" not in response.headers
    assert b"event: ready" in start


@pytest.mark.parametrize("coding", DECOMPRESS)
def test_failure_in_compressed_export_is_failed_transfer(
    server: str, content: Content, format: Format, coding: str
) -> None:
    content.replace(notes, [note(id) for id in range(2000)])
    content.fail_at(notes, 1900)
    headers = {"Accept-Encoding": coding}

    with httpx2.stream("GET", server + format.path(notes), headers=headers) as response:
        assert response.headers["Content-Encoding"] == coding
        body = response.iter_raw()
        with pytest.raises(httpx2.RemoteProtocolError):
            list(body)


def test_error_of_compressed_export_is_problem_document(
    client: TestClient, content: Content, format: Format
) -> None:
    content.run("DROP TABLE notes")

    response = client.get(format.path(notes), headers={"Accept-Encoding": "gzip"})

    assert response.status_code == 503
    assert response.json()["status"] == 503
