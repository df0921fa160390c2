"""PostgreSQL, Redis and nginx as private servers on free ports, in temporary folders."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from support.process import listener, until
from support.tools import free_port, lacking, require, run, succeed

INITDB = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync")


def written(certificate: trustme.LeafCert, folder: Path, user: str | None = None) -> str:
    """Write a certificate and its key to a file that only `user` can read; return its path."""
    file = folder / "certificate.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(file))
    file.chmod(0o600)
    if user is not None:
        shutil.chown(file, user, user)
    return str(file)


@contextmanager
def redis(certificate: trustme.LeafCert | None = None) -> Iterator[str]:
    """Run a Redis, with TLS only if it has a certificate; yield its URL."""
    program = require("redis-server")
    port = str(free_port())
    with tempfile.TemporaryDirectory() as folder:
        if certificate is None:
            scheme, listening = "redis", ["--port", port]
        else:
            file = written(certificate, Path(folder))
            scheme, listening = "rediss", ["--port", "0", "--tls-port", port]
            listening += ["--tls-cert-file", file, "--tls-key-file", file]
            listening += ["--tls-auth-clients", "no"]
        with listener(
            *(program, *listening, "--bind", "127.0.0.1", "--save", "", "--dir", folder),
            port=int(port),
            cwd=Path(folder),
            log=Path(folder, "log"),
        ):
            yield f"{scheme}://127.0.0.1:{port}/0"


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server that can be stopped and started again with its data."""

    folder: Path
    port: int
    user: str | None
    settings: tuple[str, ...]

    @property
    def url(self) -> str:
        """The URL of the server, without the name of a database."""
        return f"postgresql://postgres:postgres@127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """The log of the present or the last run."""
        return self.folder / "log"

    @contextmanager
    def running(self, stop: signal.Signals = signal.SIGINT) -> Iterator[None]:
        """Run the server for the block; SIGINT stops it in order, SIGQUIT at once."""
        ping = (require("pg_isready"), "--quiet", "--dbname", f"{self.url}/postgres")
        with listener(
            *(require("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)),
            *(word for setting in self.settings for word in ("-c", setting)),
            port=self.port,
            cwd=self.folder,
            log=self.log,
            user=self.user,
            stop=stop,
        ):
            # It listens before the recovery after SIGQUIT is complete.
            until(lambda: run(*ping).returncode == 0)
            yield


@contextmanager
def cluster(certificate: trustme.LeafCert | None = None) -> Iterator[Cluster]:
    """Create a PostgreSQL server, with optional TLS if it has a certificate."""
    initdb = require("initdb")
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
    with tempfile.TemporaryDirectory() as folder:
        if user is not None:
            try:
                shutil.chown(folder, user, user)
            except LookupError:
                lacking("PostgreSQL does not run as root, and there is no user postgres")
        subprocess.run(
            [initdb, *INITDB, "--pgdata", Path(folder, "data")],
            cwd=folder,
            user=user,
            group=user,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        settings = ["fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        settings += ["log_connections=on"]
        if certificate is not None:
            file = written(certificate, Path(folder), user)
            settings += ["ssl=on", f"ssl_cert_file={file}", f"ssl_key_file={file}"]
        yield Cluster(Path(folder), free_port(), user, tuple(settings))


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL; yield its URL, without the name of a database."""
    with cluster() as server, server.running():
        yield server.url


@contextmanager
def nginx(
    config: str, replacements: Mapping[str, str], *, port: int, folder: Path
) -> Iterator[None]:
    """Run nginx with a project's configuration, after replacing texts that occur once in it."""
    for old, new in replacements.items():
        assert config.count(old) == 1, old
        config = config.replace(old, new)
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
    """Create an empty database on a PostgreSQL server; return its URL."""
    succeed(require("createdb"), "--maintenance-db", f"{server}/postgres", name)
    return f"{server}/{name}"


def query(database: str, statement: str) -> list[list[str]]:
    """Run SQL in a PostgreSQL database; return the rows as text."""
    options = ("--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--field-separator=\t")
    printed = succeed(require("psql"), *options, "--command", statement, database)
    return [line.split("\t") for line in printed.splitlines()]
