"""Latency of `/health` while exports run."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import quantiles

from .environment import SQLITE, Scale, require, sqlite_database
from .servers import Server, ours
from .tables import Table

REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b'{"status":"ok"}'
EXPORTS = {"no export": 0, "one export": 1, "ten exports": 10}


def probe(server: Server, seconds: float) -> dict[str, float]:
    """Request `/health` repeatedly on one connection; return its latency in milliseconds."""
    took: list[float] = []
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            connection.sendall(REQUEST)
            response = b""
            while not response.endswith(BODY):
                response += connection.recv(65536)
                if not response.startswith(b"HTTP/1.1 200"):
                    raise RuntimeError(response.decode())
            took.append((time.perf_counter() - start) * 1000)
    percentiles = quantiles(took, n=100)
    return {"p99, ms": percentiles[98], "p50, ms": percentiles[49], "max, ms": max(took)}


@contextmanager
def exporting(server: Server, rows: int) -> Iterator[None]:
    """Export items repeatedly during the block."""
    command = [require("curl"), "--silent", "--output", "/dev/null"]
    process = subprocess.Popen(
        [*command, f"{server.url}/export/items.ndjson?limit={rows}#[1-999999]"]
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def run(scale: Scale) -> list[Table]:
    """Measure the latency beside different numbers of exports."""
    table = Table(
        "Latency of /health while exports run at full speed",
        note="One request after the other on one connection. /health asks the database.",
    )
    with ours(SQLITE, f"sqlite:///{sqlite_database(scale.rows)}") as server:
        for _ in range(scale.rounds):
            for name, exports in EXPORTS.items():
                with ExitStack() as stack:
                    for _ in range(exports):
                        stack.enter_context(exporting(server, scale.rows))
                    time.sleep(0.5)
                    table.add(name, probe(server, scale.seconds))
    return [table]
