"""Authentication on a real server: other addresses, tokens, the log, a read-only file system."""

import json
import os
import socket
from pathlib import Path

import httpx
import pytest

from support.process import listener
from support.project import Project
from support.tools import find, free_port, require, run

TOKEN = "a-token-that-is-never-logged"  # noqa: S105
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
READ_ONLY = "mount -t tmpfs tmpfs {data} && mount -o remount,ro,bind / && exec "


@pytest.fixture
def network_address() -> str:
    """An address of this machine outside of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("the machine has no network address")
        address: str = probe.getsockname()[0]
        return address


def settings(folder: Path, port: int, **more: str) -> dict[str, str]:
    """Return the settings of a service with a new database."""
    return {"DATABASE_URL": f"sqlite:///{folder}/live.db", "PORT": str(port), **more}


def test_serve_on_public_address_without_tokens_exits(
    default_project: Project, tmp_path: Path
) -> None:
    done = run(
        *(require("uv"), "run", "--quiet"),
        *(default_project.slug, "serve", "--host", "0.0.0.0"),  # noqa: S104
        cwd=default_project.path,
        env=settings(tmp_path, free_port()),
    )

    assert done.returncode == 3
    assert done.stderr.startswith("Invalid HOST='0.0.0.0': expected 127.0.0.1, since ")
    assert done.stderr.count("\n") == 1


def test_uvicorn_without_tokens_rejects_other_machines(
    default_project: Project, network_address: str, tmp_path: Path
) -> None:
    port = free_port()
    with listener(
        *(require("uv"), "run", "uvicorn", f"{default_project.package}.main:app"),
        *("--host", "0.0.0.0", "--port", str(port)),  # noqa: S104
        port=port,
        cwd=default_project.path,
        log=tmp_path / "log",
        env=settings(tmp_path, port),
    ):
        paths = ("/", "/docs", "/export/users.csv", "/events/news", "/nowhere")
        local = httpx.get(f"http://127.0.0.1:{port}/")
        remote = [httpx.get(f"http://{network_address}:{port}{path}") for path in paths]
        health = httpx.get(f"http://{network_address}:{port}/health")

    assert local.status_code == 200
    assert [response.status_code for response in remote] == [403] * len(remote)
    assert health.status_code == 200


def test_tokens_are_enforced_and_never_logged(
    default_project: Project, network_address: str, tmp_path: Path
) -> None:
    port = free_port()
    log = tmp_path / "log"
    env = settings(tmp_path, port, HOST="0.0.0.0", LOG_LEVEL="DEBUG")  # noqa: S104
    env["API_TOKENS"] = json.dumps({TOKEN: ["export"]})
    with (
        listener(
            *(require("uv"), "run", default_project.slug, "serve"),
            port=port,
            cwd=default_project.path,
            log=log,
            env=env,
        ),
        httpx.Client(base_url=f"http://{network_address}:{port}") as client,
    ):
        responses = [
            client.get("/export/users.csv?limit=1"),
            client.get("/export/users.csv?limit=1", headers={"Authorization": "Bearer wrong"}),
            client.post("/events/news", headers=AUTHORIZATION, json={"data": 1}),
            client.get("/export/users.csv?limit=1", headers=AUTHORIZATION),
            client.post("/session", headers=AUTHORIZATION),
            client.get("/export/users.csv?limit=1"),
        ]

    assert [response.status_code for response in responses] == [401, 401, 403, 200, 204, 200]
    session = responses[4].headers["set-cookie"].partition("=")[2].partition(";")[0]
    sent = "".join(response.text + str(response.headers) for response in responses[:4])
    logged = log.read_text()
    assert "/export/users.csv" in logged
    assert TOKEN not in logged + sent
    assert session not in logged


def test_service_runs_on_read_only_file_system(default_project: Project, tmp_path: Path) -> None:
    port = free_port()
    data = tmp_path / "data"
    data.mkdir()
    sudo = () if os.geteuid() == 0 else ("sudo", "-n")
    shell = (*sudo, "unshare", "--mount", "sh", "-c")
    read_only = READ_ONLY.format(data=data)
    if not find("unshare") or run(*shell, read_only + "true").returncode:
        pytest.skip("only root can mount a file system read-only")
    assert run(*shell, f"{read_only} touch {tmp_path}/written").returncode

    with listener(
        *(*shell, f'{read_only} "$0" -m {default_project.package} serve'),
        default_project.python,
        port=port,
        cwd=default_project.path,
        log=tmp_path / "log",
        env=settings(data, port),
    ):
        paths = ("/", "/export/items")
        responses = [httpx.get(f"http://127.0.0.1:{port}{path}") for path in paths]

    assert [response.status_code for response in responses] == [200, 200]
    assert list(data.iterdir()) == []
