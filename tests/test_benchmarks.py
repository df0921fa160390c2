"""The report of the benchmarks, from invented figures."""

import json
from pathlib import Path
from xml.etree import ElementTree

from support.tools import TEMPLATE, require, succeed

PART = {
    "machine": {"date": "2026-02-03", "cpu": "Pentium", "cores": 2, "system": "Linux 6"},
    "versions": {"python": "3.14.0", "sqlite3": "3.50.0"},
    "quick": False,
    "rounds": 3,
    "seconds": 9,
}
EXPORTS = {
    "title": "SQLite: items as NDJSON",
    "reference": "sqlite3 -json",
    "note": "",
    "rows": {
        "sqlite3 -json": {"time, s": [2.0, 4.0, 3.0]},
        "this template": {"time, s": [1.5, 1.0, 8.0], "first byte, ms": [2.0, 3.0, 2.5]},
    },
    "skipped": {"datasette": "datasette is not installed"},
}
FANOUT = {
    "title": "Events",
    "rows": {
        "this template": {
            "events/s": [123456.0],
            "bursts: events/s": [654321.0],
            "KiB a subscriber": [10.5],
        }
    },
}


def test_report_has_medians_ratios_ranges_and_skipped_rows(tmp_path: Path) -> None:
    results = {"exports": PART | {"tables": [EXPORTS]}, "fanout": PART | {"tables": [FANOUT]}}
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    python = ("run", "--isolated", "--frozen", "--only-group", "bench", "python")
    report = ("-m", "benchmarks", "--report", "--output", str(tmp_path))

    succeed(require("uv"), *python, *report, cwd=TEMPLATE)

    lines = (tmp_path / "results.md").read_text(encoding="utf-8").splitlines()
    assert "|  | time, s | x sqlite3 -json | first byte, ms |" in lines
    assert "| sqlite3 -json | 3.00 (2.00–4.00) | 1.00 |  |" in lines
    assert "| this template | 1.50 (1.00–8.00) | 0.500 | 2.50 (2.00–3.00) |" in lines
    assert "| datasette | skipped: datasette is not installed |  |  |" in lines
    assert "| this template | 123,456 | 654,321 | 10.5 |" in lines
    for name in ("exports", "fanout"):
        plot = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert ElementTree.fromstring(plot).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314
        assert "2026-02-03, 2 cores of Pentium" in plot
