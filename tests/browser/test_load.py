"""The console under load: it counts all events, shows the newest, and does not grow.

`CONSOLE=1000x60` runs it with 1,000 events per second for a minute, instead of 3 seconds.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import httpx
import pytest
from playwright.sync_api import CDPSession, expect

from browser.conftest import Opened
from support.browser import Visit
from support.project import Project
from support.service import Restartable

RATE, SECONDS = map(int, os.environ.get("CONSOLE", "1000x3").split("x"))
RUNS = 10
STEPS = RATE * SECONDS // RUNS
PAUSE = RUNS / RATE * 0.92
"""Interval of the events of a run in seconds; a step takes a little longer."""
EVENTS = RUNS * (STEPS + 1)
"""Number of events of all runs, including the last one of each."""
TIMEOUT = 30_000 + SECONDS * 5_000
"""Time limit for all events in milliseconds."""
KEPT = 200
COUNT_FRAMES = """
(function count() {
  window.drawn = (window.drawn ?? 0) + 1;
  requestAnimationFrame(count);
})();
"""


@dataclass(frozen=True)
class Memory:
    """The memory of a page after garbage collection."""

    nodes: int
    listeners: int
    heap: float
    """In MB."""


def memory(session: CDPSession) -> Memory:
    """Collect garbage, and measure the memory of a page."""
    session.send("HeapProfiler.collectGarbage")
    metrics = session.send("Performance.getMetrics")["metrics"]
    values = {metric["name"]: metric["value"] for metric in metrics}
    heap = values["JSHeapUsedSize"] / 1e6
    return Memory(values["Nodes"], values["JSEventListeners"], heap)


@pytest.fixture
def busy_console(project: Project, tmp_path: Path, visit: Opened) -> Iterator[Visit]:
    """Open the console of a service that keeps all events of the test."""
    enough = str(EVENTS)
    restartable = Restartable(project, tmp_path, EVENT_HISTORY=enough, SUBSCRIBER_BUFFER=enough)
    with restartable.running() as service:
        console = visit(service.url)
        console.open()
        yield console


def test_many_events_are_counted_and_only_the_newest_kept(
    busy_console: Visit,
) -> None:
    console, page = busy_console, busy_console.page
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    console.evaluate(COUNT_FRAMES)
    runs = [
        httpx.post(f"{console.url}/runs", json={"steps": STEPS, "interval": PAUSE}).json()["topic"]
        for _ in range(RUNS)
    ]

    start = monotonic()
    console.follow(" ".join(runs), history=True)
    expect(page.locator(".log li")).to_have_count(KEPT)
    before = memory(session)
    received = page.locator("[data-log=received]")
    expect(received).to_have_text(f"{EVENTS:,}", timeout=TIMEOUT)
    seconds = monotonic() - start
    frames = console.evaluate("drawn")
    console.wait_for_state("ended")
    after = memory(session)

    print(f"{EVENTS} events in {seconds:.1f} s: {EVENTS / seconds:.0f}/s", end=", ")
    print(f"{frames / seconds:.0f} frames/s, {len(console.streams)} streams", end=", ")
    print(f"before {before}, after {after}")
    console.save_screenshot("console-load")
    expect(page.locator(".log li")).to_have_count(KEPT)
    ids = page.locator(".log .id").all_inner_texts()
    assert [int(each.rpartition("-")[2]) for each in ids] == list(range(EVENTS, EVENTS - KEPT, -1))
    assert page.locator(".log .note").count() == 0
    assert after.nodes <= before.nodes + KEPT  # texts that are not drawn yet
    assert after.listeners <= before.listeners
    assert after.heap < before.heap + 2
    assert console.errors == []
