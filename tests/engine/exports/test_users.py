"""What the export of the users promises beyond what all exports do."""

import pytest
from fastapi.testclient import TestClient

from {{ cookiecutter.__package_name }}.exports.users import users
from {{ cookiecutter.__package_name }}.main import create_app
from {{ cookiecutter.__package_name }}.settings import Settings

from .conftest import SAMPLE_ROWS, Content

FORMULA = {"id": 1, "name": '=HYPERLINK("http://example.com")', "email": "@home"}


def test_the_first_line_has_the_names_of_the_columns(client: TestClient) -> None:
    with client.stream("GET", "/export/users.csv") as response:
        lines = response.iter_lines()

        assert next(lines) == "id,name,email"
        assert next(lines) == '1,"Björn Bergström","user1@example.com"'


def test_the_first_line_is_there_without_users(client: TestClient, content: Content) -> None:
    content.replace(users, [])

    assert client.get("/export/users.csv").text == "id,name,email\r\n"


@pytest.mark.parametrize("limit", [0, 1])
def test_a_byte_order_mark_comes_first_on_request(client: TestClient, limit: int) -> None:
    plain = client.get(f"/export/users.csv?limit={limit}").content

    marked = client.get(f"/export/users.csv?limit={limit}&bom=true").content

    assert marked == b"\xef\xbb\xbf" + plain


def test_a_byte_order_mark_is_wanted_or_not(client: TestClient) -> None:
    assert client.get("/export/users.csv?bom=perhaps").status_code == 422


def test_lines_end_as_the_standard_says(client: TestClient) -> None:
    content = client.get("/export/users.csv").content

    assert content.count(b"\r\n") == content.count(b"\n") == 1 + SAMPLE_ROWS


def test_a_spreadsheet_does_not_run_what_users_typed(client: TestClient, content: Content) -> None:
    content.replace(users, [FORMULA])

    record = client.get("/export/users.csv").text.splitlines()[1]

    assert record == '1,"\'=HYPERLINK(""http://example.com"")","\'@home"'


def test_formulas_are_left_alone_when_it_is_set_so() -> None:
    app = create_app(Settings(csv_escape_formulas=False))
    Content(app.state.database).replace(users, [FORMULA])

    with TestClient(app) as client:
        record = client.get("/export/users.csv").text.splitlines()[1]

    assert record == '1,"=HYPERLINK(""http://example.com"")","@home"'
