"""Code that users paste: the tests of the guide, and the examples of the documentation."""

import ast
import re
import textwrap
from pathlib import Path

import pytest

from support.answers import DEFAULT, SMALLEST, Answers
from support.project import Bake, Project

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

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)

FILES = {
    '"""The time, once a second': "clock.py",
    "orders = Table(": "tables.py",
    "EXPORTS = ": "exports.py",
    "def sample_order(": "samples.py",
    "from .streaming import BrokerDep": "orders.py",
    "def check_topic(": "events.py",
}
"""The file of each example of the documentation, by its beginning."""

ORDERS = '''"""Orders."""

from fastapi import APIRouter
from pydantic import BaseModel

from .streaming import BrokerDep, Scope, StreamRoute, requires

router = APIRouter(route_class=StreamRoute, dependencies=[requires(Scope.PUBLISH)])


class Order(BaseModel):
    """An order."""

    id: int
'''
"""The beginning of the module of a route that publishes."""

USE = """
from fastapi.testclient import TestClient
from streaming_api.main import create_app

with TestClient(create_app()) as client:
    paths = client.get("/openapi.json").json()["paths"].keys()
    assert PATHS <= paths, paths
    if "/export/orders.csv" in paths:
        rows = client.get("/export/orders.csv", params={"limit": 2}).text.splitlines()
        assert rows[1:] == ['1,"customer 1",0.25', '2,"customer 2",0.5'], rows
    if "/orders" in paths:
        assert client.post("/orders", json={"id": 1}).status_code == 201
        assert client.get("/events/internal.news").status_code == 403
"""
"""A program that uses the examples."""


@pytest.mark.parametrize("more", ["", WITH_LIFESPAN], ids=["unchanged", "with-lifespan"])
def test_tests_of_the_guide_pass(default_project: Project, more: str) -> None:
    guide = default_project.path / "tests" / "test_guide.py"
    guide.write_text(GUIDE.format(package=default_project.package) + more, encoding="utf-8")

    try:
        report = default_project.run("timeout", "60", "pytest", "--no-cov", "tests/test_guide.py")
    finally:
        guide.unlink()

    assert "2 passed" in report


@pytest.mark.parametrize("answers", [DEFAULT, SMALLEST], ids=["default", "smallest"])
def test_examples_of_the_documentation_work(bake: Bake, answers: Answers) -> None:
    project = bake(**answers)
    routers = ["clock", "orders"] if answers["sse"] else ["clock"]
    paths = {"/export/orders.csv", *(f"/{name}" for name in routers)}

    for code in examples(project):
        (name,) = {file for start, file in FILES.items() if code.startswith(start)}
        insert(project.package_path / name, code)
    add_imports(project, routers)
    project.run("ruff", "check", "--fix", "--quiet", "src")

    project.run("ruff", "format", "src")
    project.run("mypy", "src")
    project.run("pytest")
    project.run("python", "-c", USE.replace("PATHS", repr(paths)))


def examples(project: Project) -> list[str]:
    """Return the examples in the documentation of a project."""
    pages = ["README.md", *sorted(path for path in project.files if path.startswith("docs/"))]
    return [code for page in pages for code in BLOCK.findall(project.read(page))]


def insert(file: Path, code: str) -> None:
    """Replace the definition of the last name in `code`, or append `code` if there is none."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if file.name == "orders.py":
        text, code = ORDERS, code.removeprefix("from .streaming import BrokerDep\n")
    lines = text.splitlines()
    name = defined(ast.parse(code).body[-1])
    for node in ast.parse(text).body:
        if name and defined(node) == name:
            lines[node.lineno - 1 : node.end_lineno] = code.splitlines()
            break
    else:
        lines += ["", "", *code.strip().splitlines()]
    file.write_text("\n".join(lines).strip() + "\n", encoding="utf-8")


def defined(node: ast.stmt) -> str | None:
    """Return the name that a function or an assignment defines."""
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0])
    return node.name if isinstance(node, ast.FunctionDef) else None


def add_imports(project: Project, routers: list[str]) -> None:
    """Import the new table, and include the new routers in the application."""
    for name in ("exports", "samples"):
        replace(project.package_path / f"{name}.py", "import items", "import items, orders")
    main = project.package_path / "main.py"
    replace(main, "from . import __version__", f"from . import __version__, {', '.join(routers)}")
    included = "".join(f"    app.include_router({name}.router)\n" for name in routers)
    replace(main, "    install_docs(app)\n", f"    install_docs(app)\n{included}")


def replace(file: Path, old: str, new: str) -> None:
    """Replace a text that occurs once in a file."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new), encoding="utf-8")
