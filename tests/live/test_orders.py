"""Another table in place of the samples: a few lines in three files, and nothing else."""

import csv
import difflib
import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from support.project import Bake
from support.service import served

FILES = {
    "tables.py": '''\
"""The tables of the database (SQLAlchemy Core)."""

from sqlalchemy import Column, DateTime, MetaData, Numeric, Table, Text, Uuid

metadata = MetaData()

orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer", Text, nullable=False),
    Column("total", Numeric(12, 2), nullable=False),
    Column("placed_at", DateTime(timezone=True), nullable=False),
    Column("note", Text),
)
''',
    "exports.py": '''\
"""The tables that are exported, each at `/export/{table}` in every format."""

from .streaming import Export
from .tables import orders

EXPORTS = [Export(orders, filters=[orders.c.customer])]
''',
    "samples.py": '''\
"""Sample rows: none."""

from .streaming import Samples

SAMPLES: Samples = {}
''',
}
MOST_LINES = 25
FILL = """
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from importlib import import_module
from uuid import UUID

package = import_module(sys.argv[1] + ".main"), import_module(sys.argv[1] + ".tables")
main, tables = package
placed = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=9)))
rows = [
    {
        "id": UUID(int=number),
        "customer": "Ann" if number % 2 else "=Bob",
        "total": Decimal(number) / 4,
        "placed_at": placed,
        "note": None if number % 3 else "a note",
    }
    for number in range(1, 7)
]
with main.app.state.database.engine.begin() as connection:
    connection.execute(tables.orders.insert(), rows)
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_samples_are_replaced_in_three_files(
    bake: Bake, tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    project = bake(database=database, client=True)
    added = 0
    for name, text in FILES.items():
        file = project.package_path / name
        before = file.read_text("utf-8").splitlines()
        changes = difflib.unified_diff(before, text.splitlines(), n=0)
        added += sum(line.startswith("+") and line[1:].strip() != "" for line in changes) - 1
        file.write_text(text, encoding="utf-8")
    if database == "sqlite":
        url = f"sqlite:///{tmp_path}/orders.db"
    else:
        url = request.getfixturevalue("postgresql_url")
    env: Any = {"DATABASE_URL": url}

    project.run("ruff", "check")
    project.run("ruff", "format", "--check")
    project.run("mypy")
    project.run("pytest", "-W", "error")
    project.run(project.slug, "seed", "--yes", env=env)
    project.run("python", "-c", FILL, project.package, env=env)
    with served(project, tmp_path / "log", **env) as service:
        lines = httpx.get(f"{service}/export/orders?customer=%3DBob").text.splitlines()
        table = httpx.get(f"{service}/export/orders.csv?columns=id,total").text
        unknown = httpx.get(f"{service}/export/orders?limit=1&after=7")
        paths = httpx.get(f"{service}/openapi.json").json()["paths"]
        saved = tmp_path / "orders.csv"
        project.run(project.slug, "export", "orders", str(saved), "--url", service)

    assert added <= MOST_LINES
    assert [json.loads(line) for line in lines] == [
        {
            "id": str(UUID(int=number)),
            "customer": "=Bob",
            "total": number / 4,
            "placed_at": "2026-07-01T03:00:00Z",
            "note": None if number % 3 else "a note",
        }
        for number in (2, 4, 6)
    ]
    assert '"total":1.50,' in lines[2]
    assert list(csv.reader(io.StringIO(table)))[1] == [str(UUID(int=1)), "0.25"]
    assert unknown.status_code == 422
    assert {path for path in paths if path.startswith("/export/")} == {
        "/export/orders",
        "/export/orders.csv",
        "/export/orders.ndjson",
    }
    assert len(saved.read_text("utf-8").splitlines()) == 7


UNUSUAL = {
    "tables.py": '''\
"""Tables whose columns are computed, binary or named in another script, and unusual keys."""

import enum

from sqlalchemy import (
    Boolean,
    Column,
    Computed,
    Enum,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    Time,
)

metadata = MetaData()


class Color(enum.Enum):
    """A color."""

    RED = "rouge"
    GREEN = "vert"


phones = Table(
    "phones",
    metadata,
    Column("number", Text, primary_key=True),
    Column("select", Text, key="choice"),
    Column("digits", Integer, Computed("length(number)")),
)
files = Table(
    "файлы",
    metadata,
    Column("color", Enum(Color), primary_key=True),
    Column("at", Time, primary_key=True),
    Column("open", Boolean, primary_key=True),
    Column("price", Numeric(20, 4), primary_key=True),
    Column("данные", LargeBinary),
    Column("order", Interval),
)
''',
    "exports.py": '''\
"""The exports: two tables, and statements of one of them."""

from sqlalchemy import literal, select, union_all

from .streaming import Export
from .tables import files, phones

one, other = phones.alias(), phones.alias()
pairs = select(one.c.number, other.c.number.label("longer")).join_from(
    one, other, other.c.digits > one.c.digits
)
EXPORTS = [
    Export(phones, filters=["number", "digits"]),
    Export(files, filters=["color", "open"]),
    Export(select(phones).where(phones.c.digits > 1), name="Long numbers"),
    Export(pairs, name="pairs", key=["number", "longer"]),
    Export(
        union_all(
            select(phones.c.number, literal("one").label("kind")),
            select(phones.c.number, literal("two").label("kind")),
        ),
        name="union",
        key=["kind", "number"],
    ),
]
''',
    "samples.py": '''\
"""Sample rows."""

from datetime import time, timedelta
from decimal import Decimal

from .streaming import Samples
from .tables import Color, files, phones

SAMPLES: Samples = {
    phones: lambda number: {"number": f"+49 {number}", "choice": "=1+1"},
    files: lambda number: {
        "color": list(Color)[number % 2],
        "at": time(number % 24),
        "open": bool(number % 3),
        "price": Decimal(number) / 100,
        "данные": bytes(number % 3),
        "order": timedelta(seconds=number),
    },
}
''',
}


def test_generated_tests_hold_for_unusual_tables(bake: Bake) -> None:
    project = bake()
    for name, text in UNUSUAL.items():
        (project.package_path / name).write_text(text, encoding="utf-8")

    project.run("ruff", "check")
    project.run("mypy")
    project.run("pytest", "-W", "error")
