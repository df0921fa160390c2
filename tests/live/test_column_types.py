"""The page on exports: its examples of columns, keys and spreadsheets, exported by a service."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.answers import RECIPES, Answers
from support.project import Bake, Project
from support.service import served

PAGE = "docs/exports.md"
KEY = re.compile(r"after=(\[.*\])'")
CELL = re.compile(r"(?: `(.*?)`)? \|")
TABLES = """
from sqlalchemy import *
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import Range

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

metadata = MetaData()
columns = [Column(f"c{number}", kind) for number, kind in enumerate(TYPES)]
kinds = Table("kinds", metadata, Column("id", Integer, primary_key=True), *columns)
stock = Table(
    "stock",
    metadata,
    Column("place", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
)
VALUES = {column.name: value for column, value in zip(columns, VALUES, strict=True)}
"""
EXPORTS = """
from .streaming import Export
from .tables import kinds, stock

EXPORTS = [Export(kinds), Export(stock)]
"""
SAMPLES = """
from .tables import VALUES, kinds, stock

SAMPLES = {
    kinds: lambda number: {"id": number, **VALUES},
    stock: lambda number: {"place": "north", "number": number},
}
"""


@pytest.fixture(params=["default", "replicas"])
def answers(request: pytest.FixtureRequest) -> Answers:
    """The answers: the default with SQLite, or with PostgreSQL."""
    return RECIPES[request.param]


@pytest.fixture
def examples(bake: Bake, answers: Answers) -> tuple[Project, list[list[str]]]:
    """A project, and the rows of its page: type, value, NDJSON, CSV."""
    project = bake(**answers)
    _, _, page = project.read(PAGE).partition("## Column types")
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    rows = [CELL.findall(line.removeprefix("|")) for line in lines]
    texts = [
        ["Text", repr(text), "", cell] for text, cell in (row for row in rows if len(row) == 2)
    ]
    return project, [*(row for row in rows if len(row) == 4), *texts]


def test_examples_of_the_page_are_exported_as_shown(
    request: pytest.FixtureRequest,
    examples: tuple[Project, list[list[str]]],
    answers: Answers,
    tmp_path: Path,
) -> None:
    project, rows = examples
    env: dict[str, Any] = {}
    if answers["database"] == "postgresql":
        env["DATABASE_URL"] = request.getfixturevalue("postgresql_url")
        env["REDIS_URL"] = request.getfixturevalue("redis_url")
    types = f"[{', '.join(row[0] for row in rows)}]"
    values = f"[{', '.join(row[1] for row in rows)}]"
    written = {
        "tables": TABLES.replace("TYPES", types).replace(", VALUES,", f", {values},"),
        "exports": EXPORTS,
        "samples": SAMPLES,
    }
    for name, text in written.items():
        (project.package_path / f"{name}.py").write_text(text, encoding="utf-8")
    project.run(project.slug, "seed", "--rows", "10", "--yes", env=env)

    with served(project, tmp_path / "log", port=None, **env) as url:
        exported = [row_of(url, number) for number in range(len(rows))]
        (key,) = KEY.findall(project.read(PAGE))
        rest = httpx.get(f"{url}/export/stock.csv", params={"after": key})

    assert len(rows) > 15
    shown = [
        (ndjson or got[0], csv) for (_, _, ndjson, csv), got in zip(rows, exported, strict=True)
    ]
    assert exported == shown
    assert rest.text == 'place,number\r\n"north",8\r\n"north",9\r\n"north",10\r\n'


def row_of(url: str, number: int) -> tuple[str, str]:
    """Return the value of a column of the first row in NDJSON and in CSV."""
    name = f"c{number}"
    params = {"limit": "1", "columns": f"{name},id"}
    ndjson, csv = (
        httpx.get(f"{url}/export/kinds.{form}", params=params).text for form in ("ndjson", "csv")
    )
    return (
        ndjson.removeprefix(f'{{"{name}":').removesuffix(',"id":1}\n'),
        csv.removeprefix(f"{name},id\r\n").removesuffix(",1\r\n"),
    )
