"""A database server and a broker of a test's own, on free ports and in memory's stead."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.process import listener
from support.tools import free_port, lacking, require

INITDB = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync")


@contextmanager
def redis() -> Iterator[str]:
    """Run a Redis of one's own; its URL."""
    program = require("redis-server")
    port = free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        listener(
            *(program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder),
            port=port,
            cwd=Path(folder),
            log=Path(folder, "log"),
        ),
    ):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL of one's own; the URL of the server, without a database's name."""
    initdb, postgres = require("initdb"), require("postgres")
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        if user is not None:
            try:
                shutil.chown(folder, user, user)
            except LookupError:
                lacking("PostgreSQL does not run as root, and there is no user postgres")
        data = Path(folder, "data")
        subprocess.run(
            [initdb, *INITDB, "--pgdata", data],
            cwd=folder,
            user=user,
            group=user,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        settings = ("fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=")
        with listener(
            *(postgres, "-D", str(data), "-p", str(port)),
            *(word for setting in settings for word in ("-c", setting)),
            port=port,
            cwd=Path(folder),
            log=Path(folder, "log"),
            user=user,
            stop=signal.SIGINT,
        ):
            yield f"postgresql://postgres:postgres@127.0.0.1:{port}"


@contextmanager
def nginx(
    config: str, replacements: Mapping[str, str], *, port: int, folder: Path
) -> Iterator[None]:
    """Run nginx with a project's configuration, in which each name of a place stands once."""
    for found, put in replacements.items():
        assert config.count(found) == 1, found
        config = config.replace(found, put)
    file = folder / "nginx.conf"
    file.write_text(config, encoding="utf-8")
    with listener(
        *(require("nginx"), "-p", str(folder), "-c", str(file)),
        *("-e", "stderr", "-g", f"daemon off; pid {folder}/pid; error_log stderr;"),
        port=port,
        cwd=folder,
        log=folder / "error.log",
    ):
        yield


def new_database(server: str, name: str) -> str:
    """Create an empty database on a PostgreSQL server; its URL."""
    subprocess.run(
        [require("createdb"), "--maintenance-db", f"{server}/postgres", name], check=True
    )
    return f"{server}/{name}"
