"""Items that a path operation yields, beside FastAPI's own and batches written by hand."""

from functools import partial

from .environment import SQLITE, Scale, sqlite_database
from .exports import OURS, SCALED, SHARE, Contender, Way, compete
from .servers import app, ours
from .tables import Table

ITEMS = "Items of a generator as NDJSON"
OTHERS = "Items of a generator in the other formats"
BY_HAND = "batches by hand, encoded together"
JSON_LINES = "FastAPI's own JSON Lines" + SCALED
IN_THREAD = ", sync generator"


def contenders() -> list[Contender]:
    """Return the contenders, which all use the same generators."""
    start = partial(ours, SQLITE, f"sqlite:///{sqlite_database(10_000)}")
    path = "?limit={rows}"
    return [
        Contender(
            partial(app, "fastapi_yield"),
            [
                Way(ITEMS, BY_HAND, f"/all.ndjson{path}"),
                Way(ITEMS, "batches by hand, encoded one by one", f"/each.ndjson{path}"),
                Way(ITEMS, JSON_LINES, f"/items.jsonl{path}", SHARE),
                Way(ITEMS, JSON_LINES + IN_THREAD, f"/items-in-thread.jsonl{path}", SHARE),
            ],
        ),
        Contender(
            start,
            [
                Way(ITEMS, OURS, f"/yield.ndjson{path}"),
                Way(ITEMS, OURS + IN_THREAD, f"/yield-in-thread.ndjson{path}"),
                Way(OTHERS, "CSV", f"/yield.csv{path}"),
                Way(OTHERS, "CSV" + IN_THREAD, f"/yield-in-thread.csv{path}"),
                Way(OTHERS, "events", f"/yield.events{path}"),
                Way(OTHERS, "events" + IN_THREAD, f"/yield-in-thread.events{path}"),
            ],
        ),
    ]


def run(scale: Scale) -> list[Table]:
    """Measure every way once per round."""
    tables = {
        ITEMS: Table(
            ITEMS, BY_HAND, f"{scale.rows:,} small models, from a generator that never waits."
        ),
        OTHERS: Table(OTHERS),
    }
    compete(contenders(), tables, scale)
    times = {
        name: {"time, s": figures["time, s"]}
        for name, figures in tables[ITEMS].rows.items()
        if name in (OURS, JSON_LINES)
    }
    beside = Table("The same, beside FastAPI's own JSON Lines", JSON_LINES, rows=times)
    return [tables[ITEMS], beside, tables[OTHERS]]
