"""The promises of every export, in each format."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from .conftest import SAMPLE_ROWS, Content
from .formats import FORMATS, Format, Records
from .tables import empty, note, notes, open_database, sample_note

AWKWARD_TEXTS = [
    "",
    " ",
    'double " quote',
    "it's",
    "comma, semicolon; tab\tpipe|",
    "carriage return\r\nand line feed\nand both",
    "line separators \u2028 \u2029 \x85 \x0b \x0c \x1c",
    "back\\slash and \\n and \\u0041 and \\",
    "null",
    "[1,2]",
    '{"a": null}',
    "NaN",
    "01",
    "😀 👩‍👩‍👧 \U0010ffff",
    "שלום, مرحبا",
    "\x01\x1f\x7f",
]
TIMEOUT = 10.0


def ids(records: Records) -> list[int]:
    return [int(record["id"]) for record in records]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_headers_describe_download_and_forbid_buffering(client: TestClient, format: Format) -> None:
    response = client.get(format.path(notes))

    assert response.status_code == 200
    assert response.headers["Content-Type"] == format.content_type
    assert response.headers["Content-Disposition"] == (
        f'attachment; filename="notes.{format.extension}"'
    )
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Cache-Control"] == "no-store"
    assert "Content-Length" not in response.headers


def test_rows_are_ordered_by_key(client: TestClient, content: Content, format: Format) -> None:
    content.replace(notes, [note(id) for id in (3, -5, 2**31, 1, 2**53)])

    records = format.read(client.get(format.path(notes)).text)

    assert ids(records) == [-5, 1, 3, 2**31, 2**53]


def test_new_database_has_samples(client: TestClient, format: Format) -> None:
    records = format.read(client.get(format.path(notes)).text)

    assert ids(records) == list(range(1, SAMPLE_ROWS + 1))
    assert records[6]["text"] == sample_note(7)["text"]


def test_table_without_samples_is_empty(client: TestClient, format: Format) -> None:
    response = client.get(format.path(empty))

    assert response.status_code == 200
    assert format.read(response.text) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("after=3", [4, 5]),
        ("after=0", [1, 2, 3, 4, 5]),
        ("after=-7", [1, 2, 3, 4, 5]),
        ("after=5", []),
        ("after=9223372036854775807", []),
        ("limit=2", [1, 2]),
        ("limit=0", []),
        ("limit=9223372036854775807", [1, 2, 3, 4, 5]),
        ("after=1&limit=3", [2, 3, 4]),
    ],
)
def test_page_is_selected_by_key_and_number(
    client: TestClient, content: Content, query: str, expected: list[int]
) -> None:
    content.replace(notes, [note(id) for id in range(1, 6)])

    response = client.get(f"/export/notes?{query}")

    assert ids(FORMATS[0].read(response.text)) == expected


def test_interrupted_export_resumes_after_last_key(client: TestClient, format: Format) -> None:
    whole = format.read(client.get(format.path(notes)).text)
    start = format.read(client.get(f"{format.path(notes)}?limit=30").text)

    rest = format.read(client.get(f"{format.path(notes)}?after={start[-1]['id']}").text)

    assert start + rest == whole


@pytest.mark.parametrize("number", [0, 1])
def test_small_table_is_complete(
    client: TestClient, content: Content, format: Format, number: int
) -> None:
    content.replace(notes, [note(id) for id in range(number)])

    response = client.get(format.path(notes))

    assert response.status_code == 200
    assert len(format.read(response.text)) == number


def test_awkward_text_is_read_back(client: TestClient, content: Content, format: Format) -> None:
    content.replace(notes, [note(id, text=text) for id, text in enumerate(AWKWARD_TEXTS)])

    records = format.read(client.get(format.path(notes)).text)

    assert [record["text"] for record in records] == AWKWARD_TEXTS


def test_timestamps_are_in_utc(client: TestClient, content: Content, format: Format) -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    in_tokyo = noon.astimezone(timezone(timedelta(hours=9)))
    content.replace(notes, [note(1, created_at=in_tokyo)])

    (record,) = format.read(client.get(format.path(notes)).text)

    assert record["created_at"] == "2026-07-01T12:00:00Z"
    with content.database.engine.connect() as connection:
        assert connection.scalars(select(notes.c.created_at)).all() == [noon]


def test_head_has_headers_of_get_without_reading(
    client: TestClient, content: Content, format: Format
) -> None:
    expected = client.get(format.path(notes)).headers
    content.run("DROP TABLE notes")

    response = client.head(format.path(notes))

    assert response.status_code == 200
    assert response.content == b""
    for name in ("Content-Type", "Content-Disposition", "X-Accel-Buffering", "Cache-Control"):
        assert response.headers[name] == expected[name]


def test_other_methods_are_rejected(idle_client: TestClient, format: Format) -> None:
    response = idle_client.post(format.path(notes))

    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD"
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "query",
    [
        "after=x",
        "after=",
        "after=1.5",
        "after=9223372036854775808",
        "after=1&after=2",
        "limit=-1",
        "limit=many",
        "limit=9223372036854775808",
    ],
)
def test_invalid_page_is_rejected(idle_client: TestClient, query: str) -> None:
    response = idle_client.get(f"/export/notes?{query}")

    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert query.partition("=")[0] in response.json()["detail"]


def test_failure_before_first_row_is_503(
    client: TestClient, content: Content, format: Format
) -> None:
    content.run("DROP TABLE notes")

    response = client.get(format.path(notes))

    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "Retry-After" in response.headers
    assert "Content-Disposition" not in response.headers
    assert "notes" not in response.text
    assert content.connections == 0


def test_later_failure_is_failed_transfer(
    server: str, content: Content, format: Format, caplog: pytest.LogCaptureFixture
) -> None:
    content.replace(notes, [note(id) for id in range(2000)])
    content.fail_at(notes, 1900)

    with httpx2.stream("GET", server + format.path(notes)) as response:
        body = response.iter_raw()
        first = next(body)
        with pytest.raises(httpx2.RemoteProtocolError):
            list(body)

    assert response.status_code == 200
    assert first
    wait_until(lambda: "reason=error" in caplog.text)
    assert content.connections == 0
    assert httpx2.get(f"{server}{format.path(notes)}?limit=10").status_code == 200


def test_disconnect_returns_connection(
    server: str, content: Content, format: Format, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    content.replace(notes, [note(id, text="x" * 100_000) for id in range(200)])

    with httpx2.stream("GET", server + format.path(notes)) as response:
        next(response.iter_raw())

    wait_until(lambda: "reason=client-disconnect" in caplog.text)
    wait_until(lambda: content.connections == 0)


def test_end_is_logged_with_rows_and_route(
    client: TestClient, format: Format, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    body = client.get(format.path(notes), headers={"Accept-Encoding": "identity"}).content

    assert f"route={format.path(notes)} rows={SAMPLE_ROWS} bytes={len(body)} " in caplog.text


def test_service_starts_without_database(
    app: FastAPI, format: Format, unreadable_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    app.state.database.close()
    app.state.database = open_database(unreadable_url)

    with TestClient(app) as client:
        response = client.get(format.path(notes))

    assert response.status_code == 503
    assert "Exports are unavailable: " in caplog.text
