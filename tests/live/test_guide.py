"""What users paste: the tests of the guide that the template started from, and its own examples."""

import re
import textwrap
from pathlib import Path

import pytest

from support.project import Bake, Project

GUIDE = textwrap.dedent(
    '''
    """What the guide promises."""

    from fastapi.testclient import TestClient

    from {package}.main import app

    client = TestClient(app)


    def test_sse_stream():
        with client.stream("GET", "/events/test") as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = []
            for line in response.iter_lines():
                lines.append(line)
                if len(lines) >= 3:
                    break
            assert any("data:" in line for line in lines)


    def test_csv_export():
        response = client.get("/export/users.csv")
        assert response.status_code == 200
        assert "text/csv" in response.headers["content-type"]
        assert response.text.splitlines()[0] == "id,name,email"
    '''
).lstrip()

WITH_LIFESPAN = """

import pytest


@pytest.fixture(autouse=True)
def lifespan():
    with client:
        yield
"""


@pytest.mark.parametrize("more", ["", WITH_LIFESPAN], ids=["as-it-is", "with-lifespan"])
def test_the_guide_s_tests_pass_unchanged(default_project: Project, more: str) -> None:
    guide = default_project.path / "tests" / "test_guide.py"
    guide.write_text(GUIDE.format(package=default_project.package) + more, encoding="utf-8")

    try:
        report = default_project.run("timeout", "60", "pytest", "--no-cov", "tests/test_guide.py")
    finally:
        guide.unlink()

    assert "2 passed" in report


ASK = """
from fastapi.testclient import TestClient
from streaming_api.main import create_app

with TestClient(create_app()) as client:
    assert {"/clock", PATH} <= client.get("/openapi.json").json()["paths"].keys()
    assert client.head(PATH).headers.keys() == client.get(PATH).headers.keys()
    assert client.get(PATH, params={"limit": 2}).text.splitlines()[-1] == LAST
"""
"""A program that uses what was pasted."""


@pytest.mark.parametrize(
    ("answers", "path", "last"),
    [
        ({}, "/export/orders", '{"id":2,"total":0.5}'),
        ({"ndjson": False}, "/export/orders.csv", "2,0.5"),
    ],
    ids=["ndjson", "csv"],
)
def test_the_streams_of_the_documentation_work_as_they_are_pasted(
    bake: Bake, answers: dict[str, bool], path: str, last: str
) -> None:
    project = bake(**answers)
    package = project.path / "src" / project.package
    clock, orders = re.findall(r"```python\n(\"{3}.*?)```", project.read("docs/streaming.md"), re.S)
    (package / "clock.py").write_text(clock, encoding="utf-8")
    (package / "exports" / "orders.py").write_text(orders, encoding="utf-8")
    replace(package / "main.py", "from . import ", "from . import clock, ")
    replace(package / "main.py", "    console.install(app)", INCLUDE_CLOCK)
    replace(package / "exports" / "__init__.py", "from . import ", "from . import orders, ")
    replace(package / "exports" / "__init__.py", "\n__all__", INCLUDE_ORDERS)
    project.run("ruff", "check", "--fix", "--quiet", "src")

    project.run("mypy", "src")
    project.run("ruff", "format", "--check", "src")
    project.run("pytest", "--no-cov", "tests/access", "-k", "one_rule")
    project.run("python", "-c", ASK.replace("PATH", repr(path)).replace("LAST", repr(last)))


INCLUDE_CLOCK = "    app.include_router(clock.router)\n    console.install(app)"
INCLUDE_ORDERS = "router.include_router(orders.router)\n\n__all__"


def replace(file: Path, found: str, put: str) -> None:
    """Put text in the place of a text that stands once in a file."""
    text = file.read_text(encoding="utf-8")
    assert text.count(found) == 1, found
    file.write_text(text.replace(found, put), encoding="utf-8")
