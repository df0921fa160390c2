"""SQLite and PostgreSQL export the same rows as the same bytes."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

from support.project import Bake

SEED = 5
ROWS = 3000

EXPORT = """
import asyncio
import json
import sys
from datetime import datetime
from importlib import import_module
from pathlib import Path

from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, Table, Text, select

package, rows, target = sys.argv[1:]
exports = f"{package}.streaming.exports"
csv, ndjson = import_module(f"{exports}.csv"), import_module(f"{exports}.ndjson")
tables = import_module(f"{package}.tables")
kinds = Table(
    "kinds",
    tables.metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("text", Text),
    Column("number", Float),
    Column("big", BigInteger),
    Column("data", LargeBinary),
)
database = import_module(f"{package}.main").app.state.database
if hasattr(database, "create"):
    database.create(with_samples=False)
with database.engine.begin() as connection:
    tables.metadata.create_all(connection)
    for name, content in json.loads(Path(rows).read_text(encoding="utf-8")).items():
        for row in content:
            if "created_at" in row:
                row["created_at"] = datetime.fromisoformat(row["created_at"])
            if row.get("data") is not None:
                row["data"] = bytes.fromhex(row["data"])
        connection.execute(tables.metadata.tables[name].delete())
        connection.execute(tables.metadata.tables[name].insert(), content)


async def export(table, encoder, file):
    export = import_module(f"{exports}.export").Export(table)
    statement = select(*export.columns.values()).order_by(*export.key.values())
    rows = import_module(f"{exports}.rows").Rows(database, statement, export.columns)
    chunks = rows.chunks(encoder(list(export.columns)))
    file.write_bytes(b"".join([chunk.data async for chunk in chunks]))


for name, table in tables.metadata.tables.items():
    for extension, encoder in (("csv", csv.CSVEncoder), ("ndjson", ndjson.NDJSONEncoder)):
        asyncio.run(export(table, encoder, Path(target, f"{name}.{extension}")))
database.close()
"""
"""A program that fills a project's database and writes its tables in both formats."""

TEXTS = [
    *("", " ", "=1+1", "-1", "+1", "@x", "\t=x", "\r", "\n", '"', '""', "\\", '\\"', "a,b", "null"),
    *("[1]", "{}", "NaN", "Infinity", "\x7f", "\x85", "\u2028", "\u2029", "\U0001f389", "\x01\x1f"),
]
# Not -0.0, which SQLite stores as 0.
NUMBERS = [
    *(0.0, 0.1, 0.1 + 0.2, 1.0, -1.5, 1e15, 1e16, 1e17, 1e22, 1e23, 1e-4, 1e-5, 1e-7, 5e-324),
    *(1.7976931348623157e308, 2.2250738585072014e-308, 123456789.123456789, 2.0**53, 2.0**63),
    *(float("inf"), float("-inf"), None),
]
BIG = [0, -1, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), None]


def some_rows() -> dict[str, list[dict[str, Any]]]:
    """Return rows with unusual values in every column, for each table."""
    random = Random(SEED)
    alphabet = "abc ,;'\"\\=\n\r\t\u00e9\u4e2d\u2028\U0001f600"

    def text() -> str:
        return random.choice(TEXTS) + "".join(random.choices(alphabet, k=random.randrange(12)))

    def moment() -> str:
        zone = timezone(timedelta(minutes=random.randrange(-14 * 60, 14 * 60)))
        passed = timedelta(
            days=random.randrange(365 * 9000),
            seconds=random.randrange(24 * 3600),
            microseconds=random.choice((0, 1, 500_000, 999_999)),
        )
        return (datetime(2, 1, 1, tzinfo=UTC) + passed).astimezone(zone).isoformat()

    def number() -> float | None:
        return random.choice(NUMBERS) if random.random() < 0.5 else random.uniform(-1e6, 1e6)

    # The last key is the largest one that the sample tables have.
    keys = [*range(1, ROWS), 2**31 - 1]
    return {
        "items": [
            {
                "id": key,
                "name": text(),
                "description": random.choice((None, text())),
                "price": number(),
                "created_at": moment(),
            }
            for key in keys
        ],
        "users": [{"id": key, "name": text(), "email": text()} for key in keys],
        "kinds": [
            {
                "id": key,
                "text": random.choice((None, text())),
                "number": number(),
                "big": random.choice(BIG),
                "data": random.choice((None, random.randbytes(random.randrange(100)).hex())),
            }
            for key in keys
        ],
    }


def test_both_databases_export_the_same_bytes(
    bake: Bake, postgresql_url: str, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps(some_rows()), encoding="utf-8")
    urls = {"sqlite": f"sqlite:///{tmp_path}/rows.db", "postgresql": postgresql_url}
    exports = {}

    for database, url in urls.items():
        project = bake(tmp_path / database, database=database, sse=False)
        target = tmp_path / f"{database}-files"
        target.mkdir()
        project.run(
            *("python", "-c", EXPORT, project.package, str(rows), str(target)),
            env={"DATABASE_URL": url},
        )
        exports[database] = {file.name: file.read_bytes() for file in sorted(target.iterdir())}

    assert set(exports["sqlite"]) == {
        f"{table}.{form}" for table in ("items", "users", "kinds") for form in ("csv", "ndjson")
    }
    for name, content in exports["sqlite"].items():
        assert content.count(b"\n") >= ROWS
        assert exports["postgresql"][name].splitlines() == content.splitlines()
        assert exports["postgresql"][name] == content
