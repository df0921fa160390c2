"""CSV exports of formulas, opened in LibreOffice."""

import sqlite3
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from support.process import listener
from support.project import Project
from support.tools import free_port, require, succeed

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
UTF_8_WITH_COMMAS = "--infilter=CSV:44,34,76,1"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"


@pytest.fixture(params=["true", "false"])
def escaped(request: pytest.FixtureRequest) -> str:
    """Each value of `CSV_ESCAPE_FORMULAS`."""
    value: str = request.param
    return value


@pytest.fixture
def sheet(default_project: Project, escaped: str, tmp_path: Path) -> Path:
    """Export users with formulas as names, and convert the CSV with LibreOffice."""
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
            "INSERT INTO users (name, email) VALUES (?, '')", zip(TYPED, strict=True)
        )
    with listener(
        *(*command, "serve"), port=port, cwd=default_project.path, log=tmp_path / "log", env=env
    ):
        users = httpx.get(f"http://127.0.0.1:{port}/export/users.csv?after=1")
    (tmp_path / "users.csv").write_bytes(users.content)
    succeed(
        *(require("soffice"), f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"),
        *("--headless", UTF_8_WITH_COMMAS, "--convert-to", "fods", "users.csv"),
        cwd=tmp_path,
    )
    return tmp_path / "users.fods"


def test_spreadsheet_runs_no_escaped_formula(sheet: Path, escaped: str) -> None:
    cells = list(ElementTree.parse(sheet).iter(f"{TABLE}table-cell"))  # noqa: S314

    computed = [cell for cell in cells if f"{TABLE}formula" in cell.attrib]
    assert bool(computed) is (escaped == "false")


@pytest.mark.parametrize("escaped", ["true"], indirect=True)
def test_escaped_text_is_readable(sheet: Path) -> None:
    rows = ElementTree.parse(sheet).iter(f"{TABLE}table-row")  # noqa: S314

    names = [["".join(cell.itertext()).strip() for cell in row][1] for row in rows if len(row) > 1]

    assert len(names) == len(TYPED) + 1
    for typed, read in zip(TYPED, names[1:], strict=True):
        assert "".join(typed.split()) in "".join(read.split())
