"""The environment of the benchmarks: rendered projects, peers, data and machine."""

import hashlib
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".benchmarks"
VENV = CACHE / "venv"
PYTHON = VENV / "bin/python"

SQLITE = "streaming_api"
POSTGRESQL = "streaming_api_postgresql"
"""The packages of the rendered projects."""

PEERS = (
    "aiosqlite==0.22.1",
    "datasette==0.65.5",
    "litestar==2.25.0",
    "sqlalchemy[asyncio]",  # versions without a number are those of the projects
    "sse-starlette==3.7.0",
    "uvicorn[standard]",
)
SHOWN = (
    *("fastapi", "starlette", "uvicorn", "uvloop", "sqlalchemy", "psycopg", "msgspec"),
    *("sse-starlette", "litestar", "datasette", "aiosqlite"),
)
SERVER_PLACES = ("/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin")))
"""The folders of servers on Debian, which are not on a user's path."""


@dataclass(frozen=True)
class Scale:
    """The size of a measurement."""

    quick: bool
    rows: int
    rounds: int
    seconds: float
    """Duration of measurements without an end."""
    idle_seconds: float
    most_subscribers: int
    most_rows: int


FULL = Scale(False, 1_000_000, 5, 5.0, 30.0, 10_000, 10_000_000)
QUICK = Scale(True, 100_000, 1, 1.0, 2.0, 1000, 100_000)


class Missing(Exception):
    """A program is not installed; the message names it."""


def require(program: str) -> str:
    """Return the path of a program; raises `Missing`."""
    path = shutil.which(program, path=os.pathsep.join((os.environ["PATH"], *SERVER_PLACES)))
    if path is None:
        raise Missing(f"{program} is not installed")
    return path


def prepare() -> None:
    """Render the default project and one for PostgreSQL; install both and the peers."""
    CACHE.mkdir(exist_ok=True)
    projects = [render("Streaming API"), render("Streaming API PostgreSQL", database="postgresql")]
    editable = [word for project in projects for word in ("--editable", str(project))]
    uv("venv", "--allow-existing", "--python", sys.executable, str(VENV))
    uv("pip", "install", "--python", str(PYTHON), *editable, *PEERS)


def render(name: str, **answers: str) -> Path:
    """Generate a project again; return its folder."""
    shutil.rmtree(CACHE / name.lower().replace(" ", "-"), ignore_errors=True)
    config = CACHE / "cookiecutter.yaml"
    config.write_text(f"cookiecutters_dir: '{CACHE}'\nreplay_dir: '{CACHE}'\n", encoding="utf-8")
    context = {"project_name": name, **answers}
    return Path(
        cookiecutter(
            str(ROOT),
            no_input=True,
            extra_context=context,
            output_dir=str(CACHE),
            config_file=str(config),
        )
    )


def uv(*arguments: str) -> str:
    """Run uv quietly; return its output."""
    command = [os.environ.get("UV", "uv"), *arguments, "--quiet"]
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout


def fingerprint() -> str:
    """Return a hash of the code of the samples."""
    package = CACHE / "streaming-api" / "src" / SQLITE
    sources = b"".join((package / f"{name}.py").read_bytes() for name in ("samples", "tables"))
    return hashlib.sha256(sources).hexdigest()[:8]


def seed(package: str, url: str, rows: int) -> None:
    """Fill a database with the command of the project."""
    print(f"seeding {rows:,} rows: {url}")
    command = [str(VENV / "bin" / package.replace("_", "-")), "seed", "--yes", "--rows", str(rows)]
    environment = os.environ | {"DATABASE_URL": url}
    subprocess.run(command, cwd=CACHE, env=environment, check=True, stdout=subprocess.DEVNULL)


def sqlite_database(rows: int) -> Path:
    """Return a SQLite file with a number of rows in each table, created if it is missing."""
    path = CACHE / f"rows-{rows}-{fingerprint()}.db"
    if not path.exists():
        for stale in CACHE.glob(f"*rows-{rows}-*"):
            stale.unlink()
        unfinished = path.with_suffix(".new")
        seed(SQLITE, f"sqlite:///{unfinished}", rows)
        unfinished.rename(path)
    return path


def messy_database(rows: int) -> Path:
    """Return the same with descriptions that need quotes in CSV.

    Of 20 descriptions 6 have commas, one quotes, one line breaks, and one is NULL.
    """
    source = sqlite_database(rows)
    path = source.with_stem(f"messy-{source.stem}")
    if not path.exists():
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        with closing(sqlite3.connect(source)) as connection:
            connection.execute("VACUUM INTO ?", (str(unfinished),))
        with closing(sqlite3.connect(unfinished)) as connection, connection:
            connection.execute("""
                UPDATE items SET description = CASE id % 20
                    WHEN 0 THEN NULL
                    WHEN 1 THEN 'called "number ' || id || '"'
                    WHEN 2 THEN 'two' || char(13, 10) || 'lines' || char(10)
                    ELSE iif(id % 20 < 9, 'oak, linen, ', 'oak and linen ') || id
                END""")
        unfinished.rename(path)
    return path


def machine() -> dict[str, str | int]:
    """Return the date and the machine of the figures."""
    models = [line for line in lines_of("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": models[0].partition(": ")[2] if models else platform.processor(),
        "cores": os.cpu_count() or 0,
        "system": f"{platform.system()} {platform.release()}",
    }


def lines_of(path: str) -> list[str]:
    """Return the lines of a file, none if it is missing."""
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def versions() -> dict[str, str]:
    """Return the versions of all programs and packages."""
    installed = {
        package["name"]: package["version"]
        for package in json.loads(uv("pip", "list", "--python", str(PYTHON), "--format", "json"))
    }
    found = {"python": platform.python_version(), "sqlite in python": sqlite3.sqlite_version}
    found |= {name: installed[name] for name in SHOWN if name in installed}
    for program, option in (("sqlite3", "--version"), ("postgres", "--version"), ("nginx", "-v")):
        try:
            done = subprocess.run(
                [require(program), option], capture_output=True, encoding="utf-8", check=True
            )
        except Missing as missing:
            found[program] = str(missing)
        else:
            words = (done.stdout or done.stderr).replace("nginx/", "").split()
            found[program] = next(word for word in words if word[0].isdigit())
    return found
