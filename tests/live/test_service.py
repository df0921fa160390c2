"""The commands of the default project: routes, shutdown and invalid settings."""

import signal
import time
from pathlib import Path

import httpx
import pytest

from support.process import listener
from support.project import Project
from support.tools import free_port, require, run


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/health"])
def test_fixed_route_returns_200(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_health_returns_ok(client: httpx.Client) -> None:
    assert client.get("/health").json() == {"status": "ok"}


def test_uvicorn_serves_the_application(default_project: Project, tmp_path: Path) -> None:
    port = free_port()
    command = (require("uv"), "run", "uvicorn", f"{default_project.package}.main:app")
    env = {"DATABASE_URL": f"sqlite:///{tmp_path}/own.db"}
    default_project.run(default_project.slug, "seed", "--yes", "--rows", "3", env=env)

    with listener(
        *(*command, "--port", str(port)),
        port=port,
        cwd=default_project.path,
        log=tmp_path / "log",
        env=env,
    ):
        first = httpx.get(f"http://127.0.0.1:{port}/export/users.csv").text.splitlines()

    assert first[0] == "id,name,email"
    assert len(first) == 4


def test_open_stream_does_not_delay_shutdown(default_project: Project, tmp_path: Path) -> None:
    port = free_port()
    env = {"DATABASE_URL": f"sqlite:///{tmp_path}/own.db", "PORT": str(port)}

    with listener(
        *(require("uv"), "run", default_project.slug, "serve"),
        port=port,
        cwd=default_project.path,
        log=tmp_path / "log",
        env=env,
    ) as server:
        url = f"http://127.0.0.1:{port}/events/open"
        with httpx.stream("GET", url, timeout=10) as stream:
            lines = stream.iter_lines()
            next(lines)
            start = time.monotonic()
            server.send_signal(signal.SIGTERM)
            for _ in lines:
                pass
            server.wait(10)

    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "many"), ("DATABASE_URL", "oracle://x"), ("HEARTBEAT_SECONDS", "soon")],
)
def test_invalid_setting_exits_with_one_line(
    default_project: Project, name: str, value: str
) -> None:
    command = (require("uv"), "run", default_project.slug, "serve")

    done = run(*command, cwd=default_project.path, env={name: value}, seconds=30)

    assert done.returncode != 0
    shown = "***" if name == "DATABASE_URL" else repr(value)
    assert done.stderr.splitlines()[-1].startswith(f"Invalid {name}={shown}: expected ")
    assert "Traceback" not in done.stderr
