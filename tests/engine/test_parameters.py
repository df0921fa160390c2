"""What a query says twice is refused, since servers differ in what they make of it."""

import pytest
from fastapi.testclient import TestClient

QUERIES = [
#{% if cookiecutter.sse %}
    ("/events/news?last_event_id=1&last_event_id=1", "last_event_id"),
#{% endif %}
#{% if cookiecutter.ndjson %}
    ("/export/items?after=1&limit=1&after=", "after"),
    ("/export/items?limit=x&limit=1", "limit"),
#{% endif %}
#{% if cookiecutter.csv %}
    ("/export/users.csv?after=1&after=2", "after"),
    ("/export/users.csv?limit=1&limit=1", "limit"),
    ("/export/users.csv?bom=true&bom=false", "bom"),
#{% endif %}
]


@pytest.mark.parametrize(("path", "name"), QUERIES)
def test_a_parameter_that_is_given_twice_is_refused(
    idle_client: TestClient, path: str, name: str
) -> None:
    response = idle_client.get(path)

    assert response.status_code == 422
    assert response.json()["detail"] == f"query.{name}: given 2 times, once is accepted."
