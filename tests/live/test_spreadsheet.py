"""CSV exports of formulas, opened in LibreOffice."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from support.process import listener
from support.project import Project
from support.tools import free_port, require, succeed

# Typed loosely: whether the root can be missing depends on the version of the stubs.
Document = Any

TYPED = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://192.0.2.1/","here")',
    '",=1+1',
    '"\n=1+1',
    "'=1+1",
    "Zoë",
]
SPLIT = [
    "x;=2+2;y",
    'x;"=2+2";y',
    "x\t=2+2\ty",
    "x\n=2+2;y",
    "x\n=2+2\ty",
    ";+2+2;",
    "\t@SUM(1+1)\t",
]
"""Text in which another separator of cells than the comma makes formulas."""
SEPARATORS = {"comma": 44, "semicolon": 59, "tab": 9}
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"


@pytest.fixture(params=["true", "false"])
def escaped(request: pytest.FixtureRequest) -> str:
    """Each value of `CSV_ESCAPE_FORMULAS`."""
    value: str = request.param
    return value


@pytest.fixture
def opened(default_project: Project, escaped: str, tmp_path: Path) -> Callable[[int], Document]:
    """Export users with formulas as names.

    Returns a function that opens the CSV in LibreOffice with a separator of cells.
    """
    database, port = tmp_path / "typed.db", free_port()
    env = {
        "DATABASE_URL": f"sqlite:///{database}",
        "CSV_ESCAPE_FORMULAS": escaped,
        "PORT": str(port),
    }
    command = (require("uv"), "run", default_project.slug)
    succeed(*command, "seed", "--yes", "--rows", "1", cwd=default_project.path, env=env)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executemany(
            "INSERT INTO users (name, email) VALUES (?, '')", zip([*TYPED, *SPLIT], strict=True)
        )
    with listener(
        *(*command, "serve"), port=port, cwd=default_project.path, log=tmp_path / "log", env=env
    ):
        users = httpx.get(f"http://127.0.0.1:{port}/export/users.csv?after=1")
    (tmp_path / "users.csv").write_bytes(users.content)

    def open_with(separator: int) -> Document:
        succeed(
            *(require("soffice"), f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"),
            *("--headless", f"--infilter=CSV:{separator},34,76,1"),
            *("--convert-to", "fods", "users.csv"),
            cwd=tmp_path,
        )
        return ElementTree.parse(tmp_path / "users.fods")  # noqa: S314

    return open_with


@pytest.mark.parametrize("separator", SEPARATORS.values(), ids=SEPARATORS)
def test_spreadsheet_runs_no_escaped_formula(
    opened: Callable[[int], Document], escaped: str, separator: int
) -> None:
    cells = list(opened(separator).iter(f"{TABLE}table-cell"))

    computed = [cell for cell in cells if f"{TABLE}formula" in cell.attrib]
    assert bool(computed) is (escaped == "false")


@pytest.mark.parametrize("escaped", ["true"], indirect=True)
def test_escaped_text_is_readable(opened: Callable[[int], Document]) -> None:
    rows = opened(SEPARATORS["comma"]).iter(f"{TABLE}table-row")

    names = [["".join(cell.itertext()).strip() for cell in row][1] for row in rows if len(row) > 1]

    assert [characters(each) for each in names[1 : len(TYPED) + 1]] == list(map(characters, TYPED))


def characters(text: str) -> str:
    """Return the characters of a text that neither escape formulas nor break lines."""
    return "".join(text.replace("'", "").split())
