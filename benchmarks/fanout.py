"""One topic with many subscribers: events per second, processor time, memory and delay."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from .environment import ROOT, SQLITE, Missing, Scale, sqlite_database
from .servers import Server, app, nchan, ours
from .tables import Table

OURS = "this template"
NCHAN = "nchan (nginx, C)"
SUBSCRIBERS = 1000


@dataclass(frozen=True)
class Way:
    """A server, and its routes for subscribers and publishers."""

    start: Callable[[], AbstractContextManager[Server]]
    subscribe: str = "/events"
    publish: str = "/publish"
    burst: str = "/burst"
    body: str = "%s"


def this_template() -> Way:
    """Return the rendered project."""
    start = partial(ours, SQLITE, f"sqlite:///{sqlite_database(10_000)}")
    return Way(start, "/events/benchmark", "/events/benchmark", body='{"data":%s}')


def load(server: Server, way: Way, subscribers: int, **stages: float) -> dict[str, float]:
    """Run the client against a server; return its figures."""
    options: dict[str, object] = {
        "port": server.port,
        "pid": server.pid,
        "subscribers": subscribers,
        "subscribe": way.subscribe,
        "publish": way.publish,
        "burst": way.burst,
        "body": way.body,
        **stages,
    }
    command = [sys.executable, "-m", f"{__package__}.client"]
    command += [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def run(scale: Scale) -> list[Table]:
    """Measure every way once per round."""
    ways = {
        NCHAN: Way(nchan, burst=""),
        OURS: this_template(),
        "Litestar channels": Way(partial(app, "litestar_events")),
        "sse-starlette, a queue per client": Way(partial(app, "sse_starlette_events")),
        "FastAPI's own, a queue per client": Way(partial(app, "fastapi_events")),
    }
    table = Table(
        f"Events to {SUBSCRIBERS:,} subscribers of one topic, one worker",
        reference=NCHAN,
        note="Events/s are deliveries while the publisher is at most two events (bursts: two "
        "bursts of ten events) ahead of the slowest subscriber. A burst is one request; for nchan "
        "it is ten requests at once. Memory is that of an idle subscriber. Delivery is the time "
        "from the request to the subscriber, at ten events per second.",
    )
    for _ in range(scale.rounds):
        for name, way in ways.items():
            try:
                with way.start() as server:
                    seconds = scale.seconds
                    stages = {"steady": seconds, "paced": seconds}
                    figures = load(server, way, SUBSCRIBERS, **stages)
            except Missing as missing:
                table.skipped[name] = str(missing)
                continue
            order = ("events/s", "bursts: events/s", "KiB a subscriber")
            table.add(name, {key: figures[key] for key in (*order, *figures)})
    return [table]
