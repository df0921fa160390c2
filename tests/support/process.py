"""Processes beside a test: servers, their logs and their state."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path

from support.tools import clean_environment, lacking

PATIENCE = 60.0
"""Time limit in seconds for a program to listen, or to stop."""


def listening(port: int) -> bool:
    """Return whether a port of the loopback interface accepts connections."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until a condition holds; fail after a number of seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition does not hold after {seconds} seconds"
        time.sleep(0.05)


def logged(log: Path, words: str) -> str:
    """Wait for a line in a log that contains `words`; return the line."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for line in log.read_text(errors="replace").splitlines():
            if words in line:
                return line
        time.sleep(0.05)
    raise AssertionError(f"{words!r} is not in\n{log.read_text(errors='replace')}")


def status(pid: int, field: str) -> str:
    """Return a field of `/proc/PID/status`."""
    file = Path(f"/proc/{pid}/status")
    if not Path("/proc/self/status").exists():
        lacking("there is no /proc")
    fields = dict(line.split(":\t", 1) for line in file.read_text().splitlines())
    return fields[field].strip()


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """Suspend a process for the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while not status(pid, "State").startswith("T"):
            time.sleep(0.01)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def beside(manager: AbstractContextManager[object]) -> AsyncIterator[None]:
    """Enter and leave a blocking context in a thread, so that the event loop goes on."""
    await asyncio.to_thread(manager.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


@contextmanager
def listener(
    *command: str,
    port: int,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the block, which starts when it listens on its port."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=clean_environment() | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            group=user,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not listening(port):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
