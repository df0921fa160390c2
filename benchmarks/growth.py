"""Growth with more subscribers, more rows and more concurrent exports."""

import time
from concurrent.futures import ThreadPoolExecutor

from .environment import SQLITE, Scale, sqlite_database
from .exports import WARM_UP_ROWS, get
from .fanout import load, this_template
from .latency import exporting, probe
from .servers import ours
from .tables import Table

SUBSCRIBERS = (10, 100, 1000, 10_000)
ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
AT_ONCE = (1, 2, 4)


def run(scale: Scale) -> list[Table]:
    """Measure all three."""
    return [subscribers(scale), rows(scale), at_once(scale)]


def subscribers(scale: Scale) -> Table:
    """Measure idle subscribers with heartbeats, and the delay of events to all of them."""
    table = Table(
        "This template, subscribers",
        note=f"Idle for {scale.idle_seconds:.0f} s with HEARTBEAT_SECONDS=15; then ten events a "
        "second for all of them.",
    )
    way = this_template()
    for _ in range(scale.rounds):
        for count in (count for count in SUBSCRIBERS if count <= scale.most_subscribers):
            with way.start() as server:
                stages = {"idle": scale.idle_seconds, "paced": scale.seconds}
                table.add(f"{count:,}", load(server, way, count, **stages))
    return table


def rows(scale: Scale) -> Table:
    """Measure the first byte and the memory of exports with more and more rows."""
    table = Table(
        "This template, rows of an export as NDJSON",
        note="Memory is what the server grew by at most, after a first small export. "
        "/health is asked while such exports run one after the other.",
    )
    for _ in range(scale.rounds):
        for count in (count for count in ROWS if count <= scale.most_rows):
            with ours(SQLITE, f"sqlite:///{sqlite_database(count)}") as server:
                get(f"{server.url}/export/items.ndjson?limit={WARM_UP_ROWS}")
                server.forget_peak()
                before = server.resident_kib()
                got = get(f"{server.url}/export/items.ndjson")
                figures = {
                    "first byte, ms": got["first"] * 1000,
                    "memory growth, MiB": (server.peak_kib() - before) / 1024,
                    "rows/s": count / got["seconds"],
                }
                with exporting(server, count):
                    figures["p99 of /health, ms"] = probe(server, scale.seconds)["p99, ms"]
                table.add(f"{count:,}", figures)
    return table


def at_once(scale: Scale) -> Table:
    """Measure the rows per second of concurrent exports."""
    table = Table("This template, exports at once", reference="1", note="Rows/s of all together.")
    with ours(SQLITE, f"sqlite:///{sqlite_database(scale.rows)}") as server:
        url = f"{server.url}/export/items.ndjson"
        get(f"{url}?limit={WARM_UP_ROWS}")
        for _ in range(scale.rounds):
            for count in AT_ONCE:
                start = time.perf_counter()
                with ThreadPoolExecutor(count) as clients:
                    list(clients.map(get, [url] * count))
                seconds = time.perf_counter() - start
                table.add(str(count), {"rows/s": count * scale.rows / seconds})
    return table
