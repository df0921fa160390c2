"""What the export of the items promises beyond what all exports do."""

import json
from datetime import UTC, datetime, timedelta, timezone

from fastapi.testclient import TestClient
from sqlalchemy import select

from {{ cookiecutter.__package_name }}.exports.items import items, sample_item

from .conftest import Content

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_a_line_has_these_members(client: TestClient) -> None:
    lines = client.get("/export/items?limit=10").text.splitlines()

    assert json.loads(lines[0]) == {
        "id": 1,
        "name": "Linen lamp",
        "description": 'A lamp of linen, "number 1"',
        "price": 0.01,
        "created_at": "2026-01-01T00:01:00Z",
    }
    assert json.loads(lines[9])["description"] is None


def test_lines_can_be_read_one_by_one(client: TestClient, content: Content) -> None:
    rows = [{**sample_item(id), "name": "a\u2028b\x85c\nd"} for id in range(1, 4)]
    content.replace(items, rows)

    with client.stream("GET", "/export/items") as response:
        lines = list(response.iter_lines())

    assert [json.loads(line)["id"] for line in lines] == [1, 2, 3]


def test_numbers_that_json_lacks_are_null(client: TestClient, content: Content) -> None:
    prices = [1e16, -0.0, float("inf"), float("-inf"), None]
    rows = [{**sample_item(id), "price": price} for id, price in enumerate(prices)]
    content.replace(items, rows)

    lines = client.get("/export/items").text.splitlines()

    assert [json.loads(line)["price"] for line in lines] == [1e16, 0.0, None, None, None]


def test_moments_are_in_utc(client: TestClient, content: Content) -> None:
    in_tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    content.replace(items, [{**sample_item(1), "created_at": in_tokyo}])

    line = client.get("/export/items").text

    assert json.loads(line)["created_at"] == "2026-07-01T12:00:00Z"
    with content.database.connect() as connection:
        assert connection.scalars(select(items.c.created_at)).all() == [NOON]
