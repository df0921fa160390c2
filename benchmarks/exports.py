"""Exports of whole tables over HTTP, beside the tools of the databases and other services."""

import resource
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .environment import (
    CACHE,
    POSTGRESQL,
    SQLITE,
    Missing,
    Scale,
    fingerprint,
    messy_database,
    require,
    seed,
    sqlite_database,
)
from .servers import Server, app, datasette, ours, postgresql
from .tables import Table

OURS = "this template"
SHARE = 20
"""Slow ways export one row of this number, and their time is scaled."""
WARM_UP_ROWS = 1000
SCALED = f" (1/{SHARE} of the rows, scaled)"
TUTORIAL = "one row a chunk, sync generator" + SCALED

NDJSON = "SQLite: items as NDJSON"
CSV = "SQLite: items as CSV"
USERS = "SQLite: users as CSV"
MESSY = "SQLite: items with untidy text as CSV"
PG_NDJSON = "PostgreSQL: items as NDJSON"
PG_CSV = "PostgreSQL: items as CSV"
PG_USERS = "PostgreSQL: users as CSV"

ITEMS = "SELECT * FROM items ORDER BY id"
ITEM_OBJECTS = "SELECT row_to_json(t) FROM items t ORDER BY id"
ALL_USERS = "SELECT * FROM users ORDER BY id"


@dataclass(frozen=True)
class Way:
    """One row of a table: the path of an export with `{rows}`, or the command of a tool."""

    table: str
    name: str
    target: str
    share: int = 1


@dataclass(frozen=True)
class Contender:
    """A server, or the check for a tool, and the ways that are measured while it runs."""

    start: Callable[[], AbstractContextManager[Server | None]]
    ways: Sequence[Way]


@contextmanager
def tool(program: str) -> Iterator[None]:
    """Check that a program that needs no server is installed."""
    require(program)
    yield


def get(url: str, *options: str) -> dict[str, float]:
    """Download with curl; return the seconds, those up to the first byte, and the size."""
    form = "%{http_code} %{time_total} %{time_starttransfer} %{size_download}"
    command = [require("curl"), "--silent", "--show-error", "--output", "/dev/null"]
    done = subprocess.run(
        [*command, "--write-out", form, *options, url],
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    status, seconds, first, size = map(float, done.stdout.split())
    if status != 200:
        raise RuntimeError(f"{url}: {status:.0f}")
    return {"seconds": seconds, "first": first, "bytes": size}


def over_http(server: Server, path: str, rows: int, *options: str) -> dict[str, float]:
    """Export over HTTP; return the figures of a row."""
    cpu = server.cpu_seconds()
    got = get(server.url + path.format(rows=rows), *options)
    return {
        "time, s": got["seconds"],
        "CPU, s": server.cpu_seconds() - cpu,
        "first byte, ms": got["first"] * 1000,
    }


def by_tool(command: str) -> dict[str, float]:
    """Export into a pipe with the tool of a database; return the figures of a row."""

    def children() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    cpu, start = children(), time.perf_counter()
    subprocess.run([require("sh"), "-c", f"{command} | cat >/dev/null"], check=True)
    return {"time, s": time.perf_counter() - start, "CPU, s": children() - cpu}


def compete(contenders: Sequence[Contender], tables: dict[str, Table], scale: Scale) -> None:
    """Measure every way once per round, one server after the other."""
    for _ in range(scale.rounds):
        for contender in contenders:
            try:
                with contender.start() as server:
                    for way in contender.ways:
                        tables[way.table].add(way.name, measure(way, server, scale.rows))
            except Missing as missing:
                for way in contender.ways:
                    tables[way.table].skipped[way.name] = str(missing)


def measure(way: Way, server: Server | None, rows: int) -> dict[str, float]:
    """Return the figures of one export, scaled to all rows."""
    if server is None:
        return by_tool(way.target)
    get(server.url + way.target.format(rows=WARM_UP_ROWS))
    figures = over_http(server, way.target, rows // way.share)
    for name in ("time, s", "CPU, s"):
        figures[name] *= way.share
    return figures


def sqlite_contenders(scale: Scale) -> list[Contender]:
    """Return the contenders that export from SQLite."""
    database, messy = sqlite_database(scale.rows), messy_database(scale.rows)
    ndjson, csv = "/items.ndjson?limit={rows}", "/items.csv?limit={rows}"
    streamed = f"/{database.stem}/items.csv?_stream=on&id__lte={{rows}}"

    def cli(option: str, path: Path, query: str) -> str:
        return f"sqlite3 -{option} '{path}' '{query}'"

    return [
        Contender(
            partial(tool, "sqlite3"),
            [
                Way(NDJSON, "sqlite3 -json", cli("json", database, ITEMS)),
                Way(CSV, "sqlite3 -csv", cli("csv", database, ITEMS)),
                Way(USERS, "sqlite3 -csv", cli("csv", database, ALL_USERS)),
                Way(MESSY, "sqlite3 -csv", cli("csv", messy, ITEMS)),
            ],
        ),
        Contender(
            partial(ours, SQLITE, f"sqlite:///{database}"),
            [
                Way(NDJSON, OURS, "/export/items.ndjson?limit={rows}"),
                Way(CSV, OURS, "/export/items.csv?limit={rows}"),
                Way(USERS, OURS, "/export/users.csv?limit={rows}"),
            ],
        ),
        Contender(
            partial(ours, SQLITE, f"sqlite:///{messy}"),
            [Way(MESSY, OURS, "/export/items.csv?limit={rows}")],
        ),
        Contender(
            partial(app, "sqlalchemy_rows", DATABASE=str(database)),
            [
                Way(NDJSON, "SQLAlchemy async Core, batches, dict, json", ndjson),
                Way(CSV, "SQLAlchemy async Core, batches, csv.writer", csv),
                Way(
                    *(NDJSON, "SQLAlchemy async ORM, Pydantic, row by row" + SCALED),
                    *("/orm.ndjson?limit={rows}", SHARE),
                ),
            ],
        ),
        Contender(
            partial(app, "fastapi_rows", DATABASE=str(database)),
            [Way(NDJSON, "FastAPI's own JSON Lines" + SCALED, ndjson, SHARE)],
        ),
        Contender(
            partial(datasette, database),
            [Way(CSV, "datasette, _stream=on" + SCALED, streamed, SHARE)],
        ),
        Contender(
            partial(app, "tutorial", DATABASE=str(database)),
            [Way(NDJSON, TUTORIAL, ndjson, SHARE), Way(CSV, TUTORIAL, csv, SHARE)],
        ),
    ]


def postgresql_contenders(url: str) -> list[Contender]:
    """Return the contenders that export from PostgreSQL."""

    def copy(query: str) -> str:
        return f"psql {url} -c '\\copy ({query}) TO STDOUT CSV'"

    return [
        Contender(
            partial(tool, "psql"),
            [
                Way(PG_NDJSON, "psql, row_to_json", f"psql {url} -At -c '{ITEM_OBJECTS}'"),
                Way(PG_CSV, "psql \\copy", copy(ITEMS)),
                Way(PG_USERS, "psql \\copy", copy(ALL_USERS)),
            ],
        ),
        Contender(
            partial(ours, POSTGRESQL, url),
            [
                Way(PG_NDJSON, OURS, "/export/items.ndjson?limit={rows}"),
                Way(PG_CSV, OURS, "/export/items.csv?limit={rows}"),
                Way(PG_USERS, OURS, "/export/users.csv?limit={rows}"),
            ],
        ),
    ]


def postgresql_database(server: str, rows: int) -> str:
    """Return the URL of a database with a number of rows in each table, created if missing."""
    name = f"rows_{rows}_{fingerprint()}"
    url = f"{server}/{name}"
    psql = require("psql")
    query = [psql, f"{server}/postgres", "-Atc", "SELECT datname FROM pg_database"]
    if name not in subprocess.run(query, check=True, capture_output=True, text=True).stdout:
        unfinished = f"{server}/unfinished"
        maintain = ("--maintenance-db", f"{server}/postgres")
        subprocess.run([require("dropdb"), *maintain, "--if-exists", "unfinished"], check=True)
        subprocess.run([require("createdb"), *maintain, "unfinished"], check=True)
        seed(POSTGRESQL, unfinished, rows)
        rename = f"ALTER DATABASE unfinished RENAME TO {name}"
        subprocess.run([psql, f"{server}/postgres", "-qc", rename], check=True)
        subprocess.run([psql, url, "-qc", "VACUUM ANALYZE"], check=True)
    return url


def run(scale: Scale) -> list[Table]:
    """Measure every export."""
    CACHE.mkdir(exist_ok=True)
    json_tool, csv_tool = "sqlite3 -json", "sqlite3 -csv"
    references = dict.fromkeys((CSV, USERS, MESSY), csv_tool) | {NDJSON: json_tool}
    references |= {PG_NDJSON: "psql, row_to_json", PG_CSV: "psql \\copy", PG_USERS: "psql \\copy"}
    titles = (NDJSON, CSV, USERS, MESSY, PG_NDJSON, PG_CSV, PG_USERS)
    tables = {title: Table(title, references[title]) for title in titles}
    tables[NDJSON].note = (
        f"{scale.rows:,} rows. The tools write into a pipe, the others send to curl. CPU is that "
        "of the server, or of the tool and its pipe."
    )
    tables[MESSY].note = "Of 20 texts 6 have commas, one has quotes, one line breaks, one is NULL."
    tables[PG_NDJSON].note = "CPU is without that of PostgreSQL."
    compete(sqlite_contenders(scale), tables, scale)
    try:
        with postgresql() as server:
            url = postgresql_database(server, scale.rows)
            compete(postgresql_contenders(url), tables, scale)
    except Missing as missing:
        for title in (PG_NDJSON, PG_CSV, PG_USERS):
            tables[title].skipped["PostgreSQL"] = str(missing)
    return list(tables.values())
