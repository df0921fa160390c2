"""Tables in the console: read as they stream, previewed, cancelled, broken and saved."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from browser.conftest import Opened
from support.browser import Visit
from support.project import Project
from support.service import Restartable

FORMATS = pytest.mark.parametrize("name", ["ndjson", "csv"])
PREVIEWED = 20

ENDLESS = (
    "CREATE VIEW {table} AS SELECT * FROM {table}_before WHERE id <> 990 OR 0 < ("
    "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n)"
)
"""A table of which one row is never done, for as long as nobody interrupts."""


def cells(panel: Locator) -> list[list[str]]:
    """List the cells of a preview, the names of the columns first."""
    rows: list[list[str]] = panel.locator("table").evaluate(
        "(table) => [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return rows


def figure(panel: Locator, name: str) -> Locator:
    """Find one of the figures of a transfer."""
    return panel.locator(f"[data-figure={name}]")


@pytest.fixture
def endless_service(project: Project, tmp_path: Path) -> Iterator[Restartable]:
    """Run a service whose exports come to a row that is never done, until they are interrupted."""
    with Restartable(project, tmp_path, SHUTDOWN_GRACE_SECONDS="0.1").running() as service:
        for table in ("items", "users"):
            service.alter(f"ALTER TABLE {table} RENAME TO {table}_before")
            service.alter(ENDLESS.format(table=table))
        yield service


@FORMATS
def test_an_export_is_counted_and_its_first_rows_are_shown(console: Visit, name: str) -> None:
    panel = console.read(name)

    expect(panel.get_by_role("status")).to_have_text("Complete: 1,000 rows.")
    expect(figure(panel, "rows")).to_have_text("1,000")
    expect(figure(panel, "bytes")).to_have_text(re.compile(r"^\d+\.\d kB$"))
    expect(figure(panel, "rate")).to_have_text(re.compile(r"^\d+\.\d [kM]B/s$"))
    expect(figure(panel, "elapsed")).to_have_text(re.compile(r"^\d+\.\d\d s$"))
    head, *rows = cells(panel)
    expected = {
        "ndjson": (
            ["id", "name", "description", "price", "created_at"],
            ["10", "Glass lamp", "null", "0.1", "2026-01-01T00:10:00Z"],
        ),
        "csv": (["id", "name", "email"], ["10", "Björn D'Angelo", "user10@example.com"]),
    }
    assert (head, rows[9]) == expected[name]
    assert len(rows) == PREVIEWED
    expect(panel.get_by_role("button", name="Read")).to_be_enabled()


@FORMATS
def test_reading_goes_on_live_until_it_is_cancelled(
    endless_service: Restartable, visit: Opened, name: str
) -> None:
    console = visit(endless_service.url)
    console.open()
    panel = console.read(name)
    expect(figure(panel, "rows")).not_to_have_text("0")
    expect(panel.locator("tbody tr").nth(9)).to_be_visible()
    expect(panel.get_by_role("status")).to_have_text("Reading")
    expect(panel.get_by_role("button", name="Cancel")).to_be_focused()
    elapsed = figure(panel, "elapsed").inner_text()
    expect(figure(panel, "elapsed")).not_to_have_text(elapsed)

    panel.get_by_role("button", name="Cancel").click()

    rows = figure(panel, "rows").inner_text()
    expect(panel.get_by_role("status")).to_have_text(f"Cancelled after {rows} rows.")
    assert 0 < int(rows) < 1000
    expect(panel.get_by_role("button", name="Cancel")).to_be_disabled()
    expect(panel.get_by_role("button", name="Read")).to_be_focused()


@FORMATS
def test_a_transfer_that_breaks_says_after_how_many_rows(
    endless_service: Restartable, visit: Opened, name: str
) -> None:
    console = visit(endless_service.url)
    console.open()
    panel = console.read(name)
    expect(figure(panel, "rows")).not_to_have_text("0")

    endless_service.stop()

    outcome = panel.get_by_role("status")
    expect(outcome).to_have_text(re.compile("^Failed after .+ rows: the transfer broke off.$"))
    rows = figure(panel, "rows").inner_text()
    expect(outcome).to_contain_text(f"after {rows} rows")
    assert 0 < int(rows) < 1000
    assert len(cells(panel)) == 1 + min(PREVIEWED, int(rows))
    expect(panel.get_by_role("button", name="Read")).to_be_enabled()


@FORMATS
def test_an_export_that_is_refused_says_why(
    project: Project, tmp_path: Path, visit: Opened, name: str
) -> None:
    with Restartable(project, tmp_path).running() as service:
        service.alter("DROP TABLE items")
        service.alter("DROP TABLE users")
        console = visit(service.url)
        console.open()

        panel = console.read(name)

        expect(panel.get_by_role("status")).to_have_text(
            "Refused. Service Unavailable: The stream could not start. Try again in 5 s."
        )
        expect(panel.locator("table")).to_be_hidden()


@FORMATS
def test_a_service_that_is_gone_is_said_not_to_answer(
    project: Project, tmp_path: Path, visit: Opened, name: str
) -> None:
    with Restartable(project, tmp_path).running() as service:
        console = visit(service.url)
        console.open()
        console.page.wait_for_load_state("networkidle")
        service.stop()

        panel = console.read(name)

        expect(panel.get_by_role("status")).to_have_text("Failed. The service does not answer.")


def test_cells_with_line_breaks_quotes_and_markup_are_shown_as_they_are(
    project: Project, tmp_path: Path, visit: Opened
) -> None:
    awkward = 'two\r\nlines, "quoted" <b>'
    with Restartable(project, tmp_path).running() as service:
        service.alter("UPDATE users SET name = ?, email = '' WHERE id = 2", awkward)
        console = visit(service.url)
        console.open()

        panel = console.read("csv")

        expect(panel.get_by_role("status")).to_have_text("Complete: 1,000 rows.")
        assert cells(panel)[2] == ["2", awkward, ""]


def test_reading_again_starts_anew(console: Visit) -> None:
    for _ in range(2):
        panel = console.read("csv")
        expect(panel.get_by_role("status")).to_have_text("Complete: 1,000 rows.")

    assert len(cells(panel)) == 1 + PREVIEWED


@FORMATS
def test_an_export_can_be_saved_without_the_page(console: Visit, name: str) -> None:
    panel = console.page.locator(f"[data-format={name}]")

    with console.page.expect_download() as download:
        panel.get_by_role("link", name="Save").click()

    assert download.value.suggested_filename == {"ndjson": "items.ndjson", "csv": "users.csv"}[name]
    lines = download.value.path().read_bytes().count(b"\n")
    assert lines == {"ndjson": 1000, "csv": 1001}[name]


SPLIT = """
async ([name, text]) => {
  const { Records } = await import("/static/exports/records.js");
  const { format } = await import(`/static/exports/${name}.js`);
  const bytes = new TextEncoder().encode(text);
  const results = new Set();
  for (let first = 0; first <= bytes.length; first += 1) {
    for (let second = first; second <= bytes.length; second += 1) {
      const records = new Records(format.quote, 20);
      records.push(bytes.subarray(0, first));
      records.push(bytes.subarray(first, second));
      records.push(bytes.subarray(second));
      records.end();
      results.add(JSON.stringify([records.count, format.table(records.first)]));
    }
  }
  return [...results].map(JSON.parse);
}
"""
"""Reads a text in three chunks, cut in every way; what came of it."""


@pytest.mark.parametrize(
    ("name", "text", "columns", "rows"),
    [
        pytest.param(
            "csv",
            'id,"a ""b""\r\nc"\r\n1,"é\r\n"\r\n2,""\r\n',
            ["id", 'a "b"\r\nc'],
            [["1", "é\r\n"], ["2", ""]],
            id="quoted-line-breaks",
        ),
        pytest.param("csv", "\ufeffid\r\n\ufeff1", ["id"], [["\ufeff1"]], id="byte-order-mark"),
        pytest.param(
            "csv",
            "a,b,c\n,,\n🎉,'x,\n",
            ["a", "b", "c"],
            [["", "", ""], ["🎉", "'x", ""]],
            id="plain",
        ),
        pytest.param(
            "ndjson",
            '{"a":"é\\n","b":null}\n{"a":[1, 2],"c":true}\n',
            ["a", "b", "c"],
            [["é\n", "null", "null"], ["[1,2]", "null", "true"]],
            id="ndjson",
        ),
        pytest.param("ndjson", '{"a":1}\n{"a":2}', ["a"], [["1"], ["2"]], id="no-last-line-feed"),
    ],
)
def test_rows_are_the_same_wherever_the_chunks_end(
    console: Visit, name: str, text: str, columns: list[str], rows: list[list[str]]
) -> None:
    results = console.page.evaluate(SPLIT, [name, text])

    count = len(rows) + (name == "csv")
    assert results == [[count, {"columns": columns, "rows": rows}]]


def test_a_row_too_long_for_a_preview_is_counted_and_not_kept(console: Visit) -> None:
    result = console.page.evaluate(
        """async () => {
          const { Records } = await import("/static/exports/records.js");
          const records = new Records(undefined, 20);
          const long = new TextEncoder().encode("x".repeat(50_000));
          const end = new TextEncoder().encode("\\n");
          for (let count = 0; count < 3; count += 1) {
            records.push(end);
            for (let times = 0; times < 100; times += 1) records.push(long);
            records.push(end);
          }
          return [records.count, records.first, JSON.stringify(records).length < 200];
        }"""
    )

    assert result == [6, ["\n"], True]
