"""The tests of the guide, which users paste into a generated project."""

import textwrap

import pytest

from support.project import Project

GUIDE = textwrap.dedent(
    '''
    """The tests of the guide."""

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


@pytest.mark.parametrize("more", ["", WITH_LIFESPAN], ids=["unchanged", "with-lifespan"])
def test_tests_of_the_guide_pass(default_project: Project, more: str) -> None:
    guide = default_project.path / "tests" / "test_guide.py"
    guide.write_text(GUIDE.format(package=default_project.package) + more, encoding="utf-8")

    try:
        report = default_project.run("timeout", "60", "pytest", "--no-cov", "tests/test_guide.py")
    finally:
        guide.unlink()

    assert "2 passed" in report
