"""What every export promises, whatever its format."""

import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from .conftest import SAMPLE_ROWS, Content
from .formats import Export

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
PATIENCE = 10.0


def ids(records: list[dict[str, Any]]) -> list[int]:
    return [int(record["id"]) for record in records]


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds, which nothing announces."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_headers_say_what_is_downloaded_and_that_no_proxy_may_hold_it_back(
    client: TestClient, export: Export
) -> None:
    response = client.get(export.path)

    assert response.status_code == 200
    assert response.headers["Content-Type"] == export.media_type
    assert response.headers["Content-Disposition"] == f'attachment; filename="{export.filename}"'
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Cache-Control"] == "no-store"
    assert "Content-Length" not in response.headers


def test_all_rows_arrive_in_the_order_of_their_keys(
    client: TestClient, content: Content, export: Export
) -> None:
    content.replace(export.table, [export.row(id) for id in (3, -5, 2**31, 1, 2**53)])

    records = export.read(client.get(export.path).text)

    assert ids(records) == [-5, 1, 3, 2**31, 2**53]


def test_samples_are_there_from_the_start(client: TestClient, export: Export) -> None:
    records = export.read(client.get(export.path).text)

    assert ids(records) == list(range(1, SAMPLE_ROWS + 1))
    assert records[6]["name"] == export.row(7)["name"]


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
def test_a_part_is_chosen_by_key_and_number(
    client: TestClient, content: Content, export: Export, query: str, expected: list[int]
) -> None:
    content.replace(export.table, [export.row(id) for id in range(1, 6)])

    response = client.get(f"{export.path}?{query}")

    assert ids(export.read(response.text)) == expected


def test_an_export_that_was_cut_off_is_resumed_after_its_last_key(
    client: TestClient, export: Export
) -> None:
    whole = export.read(client.get(export.path).text)
    start = export.read(client.get(f"{export.path}?limit=30").text)

    rest = export.read(client.get(f"{export.path}?after={start[-1]['id']}").text)

    assert start + rest == whole


@pytest.mark.parametrize("number", [0, 1])
def test_a_table_may_have_few_rows(
    client: TestClient, content: Content, export: Export, number: int
) -> None:
    content.replace(export.table, [export.row(id) for id in range(number)])

    response = client.get(export.path)

    assert response.status_code == 200
    assert len(export.read(response.text)) == number


def test_awkward_text_arrives_as_it_is(
    client: TestClient, content: Content, export: Export
) -> None:
    rows = [export.row(id, name=text) for id, text in enumerate(AWKWARD_TEXTS)]
    content.replace(export.table, rows)

    records = export.read(client.get(export.path).text)

    assert [record["name"] for record in records] == AWKWARD_TEXTS


def test_every_record_fits_the_documented_schema(client: TestClient, export: Export) -> None:
    documented = client.get("/openapi.json").json()["paths"][export.path]["get"]["responses"]

    records = export.read(client.get(export.path).text)

    [(media_type, body)] = documented["200"]["content"].items()
    assert media_type == export.media_type.partition(";")[0]
    assert body["itemSchema"] == export.model.model_json_schema()
    assert all(list(record) == list(body["itemSchema"]["properties"]) for record in records)
    assert all(export.model.model_validate(record) for record in records)


def test_head_has_the_headers_of_get_and_reads_nothing(
    client: TestClient, content: Content, export: Export
) -> None:
    expected = client.get(export.path).headers
    content.run(f"DROP TABLE {export.table.name}")

    response = client.head(export.path)

    assert response.status_code == 200
    assert response.content == b""
    for name in ("Content-Type", "Content-Disposition", "X-Accel-Buffering"):
        assert response.headers[name] == expected[name]


def test_other_methods_are_refused(idle_client: TestClient, export: Export) -> None:
    response = idle_client.post(export.path)

    assert response.status_code == 405
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "query",
    ["after=x", "after=", "after=1.5", "after=9223372036854775808", "limit=-1", "limit=many"],
)
def test_a_part_that_cannot_be_is_refused(
    idle_client: TestClient, export: Export, query: str
) -> None:
    response = idle_client.get(f"{export.path}?{query}")

    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert query.partition("=")[0] in response.json()["detail"]


def test_a_failure_before_the_first_row_is_a_503(
    client: TestClient, content: Content, export: Export
) -> None:
    content.run(f"DROP TABLE {export.table.name}")

    response = client.get(export.path)

    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "Retry-After" in response.headers
    assert "Content-Disposition" not in response.headers
    assert export.table.name not in response.text
    assert content.connections == 0


def test_a_failure_in_mid_stream_is_a_failed_transfer(
    server: str,
    content: Content,
    export: Export,
    caplog: pytest.LogCaptureFixture,
) -> None:
    content.replace(export.table, [export.row(id) for id in range(2000)])
    content.fail_at(export.table, 1900)

    with httpx2.stream("GET", server + export.path) as response:
        body = response.iter_raw()
        first = next(body)
        with pytest.raises(httpx2.RemoteProtocolError):
            list(body)

    assert response.status_code == 200
    assert first
    wait_until(lambda: "reason=error" in caplog.text)
    assert content.connections == 0
    assert httpx2.get(f"{server}{export.path}?limit=10").status_code == 200


def test_a_client_that_leaves_takes_no_connection_along(
    server: str, content: Content, export: Export, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    content.replace(export.table, [export.row(id, name="x" * 100_000) for id in range(200)])

    with httpx2.stream("GET", server + export.path) as response:
        next(response.iter_raw())

    wait_until(lambda: "reason=client-disconnect" in caplog.text)
    wait_until(lambda: content.connections == 0)


def test_a_service_whose_database_does_not_answer_starts_and_says_so(
    app: FastAPI, export: Export, unreadable_url: str
) -> None:
    app.state.database = type(app.state.database)(unreadable_url)

    with TestClient(app) as client:
        response = client.get(export.path)
        health = client.get("/health")

    assert (response.status_code, health.status_code) == (503, 503)
