"""Servers as processes, with their memory and processor time."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from string import Template

from .environment import CACHE, PYTHON, VENV, Missing, require

APPS = Path(__file__).parent / "apps"
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
PATIENCE = 60.0
"""Time limit in seconds for a server to listen, or to stop."""

CSV_SETTINGS = ("--setting", "max_csv_mb", "0", "--setting", "sql_time_limit_ms", "60000")


class Process:
    """A process with its children."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu_seconds(self) -> float:
        """Return the processor time used so far, in user and system mode."""
        ticks = 0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_kib(self) -> int:
        """Return the resident memory."""
        return self._status("VmRSS")

    def peak_kib(self) -> int:
        """Return the maximum of the resident memory since the start, or since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Reset `peak_kib`."""
        for pid in self._pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def _status(self, field: str) -> int:
        return sum(
            int(line.split()[1])
            for pid in self._pids()
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith(f"{field}:")
        )


class Server(Process):
    """A process that listens on a port."""

    def __init__(self, pid: int, port: int) -> None:
        super().__init__(pid)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    """Return whether a port of the loopback interface accepts connections."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def listening(
    command: list[str],
    port: int,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[Server]:
    """Run a server for the block, which starts when it listens."""
    log = CACHE / f"{Path(command[0]).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=CACHE,
            env=os.environ | dict(env or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            group=user,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not is_listening(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace"))
            time.sleep(0.02)
        yield Server(process.pid, port)
    finally:
        process.send_signal(stop)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def app(module: str, **env: str) -> Iterator[Server]:
    """Run a module of `apps` with uvicorn, in one process with uvloop and httptools."""
    port = free_port()
    command = [str(PYTHON), "-m", "uvicorn", f"{module}:app", "--app-dir", str(APPS)]
    options = ["--port", str(port), "--log-level", "warning", "--timeout-graceful-shutdown", "1"]
    # The connection of the publisher is idle while slow servers deliver.
    options += ["--timeout-keep-alive", str(round(PATIENCE))]
    with listening(command + options, port, env) as server:
        yield server


@contextmanager
def ours(package: str, database: str, **env: str) -> Iterator[Server]:
    """Run a rendered project on a database, without a limit of streams."""
    settings = {
        "PACKAGE": package,
        "DATABASE_URL": database,
        "LOG_LEVEL": "WARNING",
        "MAX_STREAMS_PER_CLIENT": "1000000",
        "SHUTDOWN_GRACE_SECONDS": "1",
    }
    with app("ours", **settings, **env) as server:
        yield server


@contextmanager
def datasette(database: Path) -> Iterator[Server]:
    """Run datasette on a SQLite file, without its limits on exports."""
    port = free_port()
    command = [str(VENV / "bin/datasette"), "serve", str(database), "--port", str(port)]
    with listening([*command, *CSV_SETTINGS], port) as server:
        yield server


@contextmanager
def nchan() -> Iterator[Server]:
    """Run nginx with nchan and one worker."""
    if not NCHAN.exists():
        raise Missing("nginx has no nchan (Debian: libnginx-mod-nchan)")
    port = free_port()
    folder = CACHE / "nginx"
    folder.mkdir(exist_ok=True)
    config = Template((APPS / "nchan.conf").read_text()).substitute(module=NCHAN, port=port)
    (folder / "nginx.conf").write_text(config)
    command = [require("nginx"), "-p", str(folder), "-e", "error.log", "-c", "nginx.conf"]
    with listening(command, port) as server:
        yield server


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL with the data of earlier runs; yield its URL, without a database's name."""
    initdb, postgres = require("initdb"), require("postgres")
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
    folder = CACHE / "postgresql"
    folder.mkdir(exist_ok=True)
    if user is not None:
        try:
            shutil.chown(folder, user, user)
        except LookupError:
            raise Missing("PostgreSQL refuses root, and there is no user postgres") from None
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]
        subprocess.run(
            [initdb, *options, "--pgdata", str(data)],
            cwd=folder,
            user=user,
            group=user,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    port = free_port()
    settings = ("fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=")
    command = [postgres, "-D", str(data), "-p", str(port)]
    command += [word for setting in settings for word in ("-c", setting)]
    with listening(command, port, user=user, stop=signal.SIGINT):
        url = f"postgresql://postgres:postgres@127.0.0.1:{port}"
        while subprocess.run([require("pg_isready"), "-q", "-d", url], check=False).returncode:
            time.sleep(0.05)
        yield url
