"""Exports in the console: the list of tables, reading, previews and saving."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from browser.conftest import Opened, install
from support.browser import Visit, violations
from support.project import Bake, Project
from support.service import Restartable

FORMATS = pytest.mark.parametrize("extension", ["ndjson", "csv"])
PREVIEWED = 20

ENDLESS = (
    "CREATE VIEW {table} AS SELECT * FROM {table}_before WHERE id <> 990 OR 0 < ("
    "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n)"
)
"""A table whose row 990 is computed until the query is interrupted."""

AWKWARD = """Order's "50%" <b>é, v1.csv"""
"""The name of a table with characters that have a meaning in URLs, HTML, shells or file names."""


def cells(panel: Locator) -> list[list[str]]:
    """Return the cells of a preview, the names of the columns first."""
    rows: list[list[str]] = panel.locator("table").evaluate(
        "(table) => [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return rows


def figure(panel: Locator, name: str) -> Locator:
    """Return a figure of a transfer."""
    return panel.locator(f"[data-figure={name}]")


@pytest.fixture
def endless_service(project: Project, tmp_path: Path) -> Iterator[Restartable]:
    """Run a service whose exports do not end after row 989 until they are interrupted."""
    with Restartable(project, tmp_path, SHUTDOWN_GRACE_SECONDS="0.1").running() as service:
        service.seed()
        for table in ("items", "users"):
            service.alter(f"ALTER TABLE {table} RENAME TO {table}_before")
            service.alter(ENDLESS.format(table=table))
        yield service


@pytest.fixture(scope="module")
def awkward_service(bake: Bake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restartable]:
    """Run a project with a table instead of the generated ones, in `tables.py` and `exports.py`."""
    folder = tmp_path_factory.mktemp("awkward")
    project = install(bake, folder)
    package = project.path / "src" / project.package
    with (package / "tables.py").open("a", encoding="utf-8") as file:
        columns = 'Column("id", Integer, primary_key=True), Column("größe", Integer)'
        file.write(f"\n\nawkward = Table({AWKWARD!r}, metadata, {columns})\n")
    (package / "exports.py").write_text(
        "from .streaming import Export\nfrom .tables import awkward\n\nEXPORTS = [Export(awkward)]",
        encoding="utf-8",
    )
    quoted = AWKWARD.replace('"', '""')
    with Restartable(project, folder).running() as service:
        service.alter(f'INSERT INTO "{quoted}" VALUES (1, 9007199254740993)')  # noqa: S608
        yield service


def test_panels_are_the_tables_that_the_service_lists(console: Visit) -> None:
    expect(console.table("users")).to_be_visible()

    headings = console.page.locator("#exports h3")
    assert headings.all_inner_texts() == ["items", "users"]
    formats = console.table("users").get_by_label("Format").locator("option")
    assert formats.all_inner_texts() == ["NDJSON", "CSV"]


@FORMATS
def test_table_with_an_awkward_name_is_read_and_saved(
    awkward_service: Restartable, visit: Opened, extension: str
) -> None:
    console = visit(awkward_service.url)
    console.open()

    panel = console.read(AWKWARD, extension)

    expect(panel.get_by_role("status")).to_have_text("Complete: 1 row.")
    assert console.page.locator("#exports h3").all_inner_texts() == [AWKWARD]
    assert cells(panel) == [["id", "größe"], ["1", "9007199254740993"]]
    with console.page.expect_download() as download:
        panel.get_by_role("link", name="Save").click()
    assert download.value.path().read_text(encoding="utf-8").count("9007199254740993") == 1
    assert console.errors == []
    assert violations(console.page) == []


def test_service_without_exports_shows_a_sentence(service: Restartable, visit: Opened) -> None:
    console = visit(service.url)
    console.page.route("**/openapi.json", lambda route: route.fulfill(json={"paths": {}}))
    console.open()

    status = console.page.locator("#exports").get_by_role("status")

    expect(status).to_have_text("The service exports no tables.")
    assert console.evaluate("moved") == []


def test_failed_list_of_tables_shows_the_reason(service: Restartable, visit: Opened) -> None:
    console = visit(service.url)
    console.page.route("**/openapi.json", lambda route: route.abort())
    console.open()

    status = console.page.locator("#exports").get_by_role("status")

    expect(status).to_have_text("The service is unreachable.")


@FORMATS
def test_export_is_counted_and_previewed(console: Visit, extension: str) -> None:
    panel = console.read("items", extension)

    expect(panel.get_by_role("status")).to_have_text("Complete: 1,000 rows.")
    expect(figure(panel, "rows")).to_have_text("1,000")
    expect(figure(panel, "bytes")).to_have_text(re.compile(r"^\d+\.\d kB$"))
    expect(figure(panel, "rate")).to_have_text(re.compile(r"^\d+\.\d [kM]B/s$"))
    expect(figure(panel, "elapsed")).to_have_text(re.compile(r"^\d+\.\d\d s$"))
    head, *rows = cells(panel)
    missing = {"ndjson": "null", "csv": ""}[extension]
    assert head == ["id", "name", "description", "price", "created_at"]
    assert rows[9] == ["10", "Glass lamp", missing, "0.1", "2026-01-01T00:10:00Z"]
    assert len(rows) == PREVIEWED
    expect(panel.get_by_role("button", name="Read")).to_be_enabled()


@FORMATS
def test_reading_is_shown_live_until_it_is_cancelled(
    endless_service: Restartable, visit: Opened, extension: str
) -> None:
    console = visit(endless_service.url)
    console.open()
    panel = console.read("users", extension)
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
def test_interrupted_transfer_shows_the_number_of_rows(
    endless_service: Restartable, visit: Opened, extension: str
) -> None:
    console = visit(endless_service.url)
    console.open()
    panel = console.read("users", extension)
    expect(figure(panel, "rows")).not_to_have_text("0")

    endless_service.stop()

    outcome = panel.get_by_role("status")
    expect(outcome).to_have_text(
        re.compile("^Failed after .+ rows: the transfer was interrupted.$")
    )
    rows = figure(panel, "rows").inner_text()
    expect(outcome).to_contain_text(f"after {rows} rows")
    assert 0 < int(rows) < 1000
    assert len(cells(panel)) == 1 + min(PREVIEWED, int(rows))
    expect(panel.get_by_role("button", name="Read")).to_be_enabled()


@FORMATS
def test_rejected_export_shows_the_problem(
    project: Project, tmp_path: Path, visit: Opened, extension: str
) -> None:
    with Restartable(project, tmp_path).running() as service:
        service.alter("DROP TABLE users")
        console = visit(service.url)
        console.open()

        panel = console.read("users", extension)

        expect(panel.get_by_role("status")).to_have_text(
            re.compile(r"^Service Unavailable: .+ Try again in 5 s\.$")
        )
        expect(panel.locator("table")).to_be_hidden()


@FORMATS
def test_export_of_a_stopped_service_shows_that_it_is_unreachable(
    project: Project, tmp_path: Path, visit: Opened, extension: str
) -> None:
    with Restartable(project, tmp_path).running() as service:
        console = visit(service.url)
        console.open()
        expect(console.table("users")).to_be_visible()
        service.stop()

        panel = console.read("users", extension)

        expect(panel.get_by_role("status")).to_have_text("The service is unreachable.")


def test_cells_with_line_breaks_quotes_and_markup_are_shown_as_text(
    project: Project, tmp_path: Path, visit: Opened
) -> None:
    awkward = 'two\r\nlines, "quoted" <b>'
    with Restartable(project, tmp_path).running() as service:
        service.seed()
        service.alter("UPDATE users SET name = ?, email = '' WHERE id = 2", awkward)
        console = visit(service.url)
        console.open()

        panel = console.read("users", "csv")

        expect(panel.get_by_role("status")).to_have_text("Complete: 1,000 rows.")
        assert cells(panel)[2] == ["2", awkward, ""]


def test_reading_again_replaces_the_preview(console: Visit) -> None:
    for extension in ("ndjson", "csv"):
        panel = console.read("users", extension)
        expect(panel.get_by_role("status")).to_have_text("Complete: 1,000 rows.")

    assert len(cells(panel)) == 1 + PREVIEWED


@FORMATS
def test_save_link_downloads_the_chosen_format(console: Visit, extension: str) -> None:
    panel = console.table("users")
    panel.get_by_label("Format").select_option(extension)

    with console.page.expect_download() as download:
        panel.get_by_role("link", name=f"Save users.{extension}").click()

    assert download.value.suggested_filename == f"users.{extension}"
    lines = download.value.path().read_bytes().count(b"\n")
    assert lines == {"ndjson": 1000, "csv": 1001}[extension]


SPLIT = """
async ([extension, text]) => {
  const { Records } = await import("/static/exports/exports.js");
  const format = await import(`/static/exports/${extension}.js`);
  const bytes = new TextEncoder().encode(text);
  const results = new Set();
  for (let first = 0; first <= bytes.length; first += 1) {
    for (let second = first; second <= bytes.length; second += 1) {
      const records = new Records(format.quote, 20);
      records.push(bytes.subarray(0, first));
      records.push(bytes.subarray(first, second));
      records.push(bytes.subarray(second));
      records.end();
      results.add(JSON.stringify([records.count, format.tableOf(records.first)]));
    }
  }
  return [...results].map(JSON.parse);
}
"""
"""Reads a text in three chunks, split in every way; returns the distinct results."""


@pytest.mark.parametrize(
    ("extension", "text", "columns", "rows"),
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
        pytest.param(
            "ndjson",
            '{"a":9007199254740993,"b":{"c":[0.10,{"d":-1e400}],"e":"},:"}}\n',
            ["a", "b"],
            [["9007199254740993", '{"c":[0.10,{"d":-1e400}],"e":"},:"}']],
            id="digits",
        ),
        pytest.param(
            "ndjson",
            '{"a\\"b":"","":"\\\\"}\n{}\n',
            ['a"b', ""],
            [["", "\\"], ["null", "null"]],
            id="escapes",
        ),
        pytest.param("ndjson", '{"a":1}\n{"a":2}', ["a"], [["1"], ["2"]], id="no-last-line-feed"),
    ],
)
def test_preview_is_independent_of_chunks(
    console: Visit, extension: str, text: str, columns: list[str], rows: list[list[str]]
) -> None:
    results = console.page.evaluate(SPLIT, [extension, text])

    count = len(rows) + (extension == "csv")
    assert results == [[count, {"columns": columns, "rows": rows}]]


def test_long_record_is_counted_and_not_kept(console: Visit) -> None:
    result = console.page.evaluate(
        """async () => {
          const { Records } = await import("/static/exports/exports.js");
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
