"""Who gets in, from outside: a real server, another address, a read-only machine."""

import json
import os
import socket
from pathlib import Path

import httpx
import pytest

from support.process import listener
from support.project import Project
from support.tools import find, free_port, require, run

TOKEN = "a-token-that-nobody-may-see"  # noqa: S105 made up
OWN = {"Authorization": f"Bearer {TOKEN}"}
READ_ONLY = "mount -t tmpfs tmpfs {data} && mount -o remount,ro,bind / && exec "


@pytest.fixture
def elsewhere() -> str:
    """Return an address of this machine that is not its own for itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address in a network")
        address: str = probe.getsockname()[0]
        return address


def settings(folder: Path, port: int, **more: str) -> dict[str, str]:
    """Return the settings of a server with a database of its own."""
    return {"DATABASE_URL": f"sqlite:///{folder}/live.db", "PORT": str(port), **more}


def test_serve_refuses_to_be_reached_by_strangers(default_project: Project, tmp_path: Path) -> None:
    serving = run(
        *(require("uv"), "run", "--quiet"),
        *(default_project.slug, "serve", "--host", "0.0.0.0"),  # noqa: S104
        cwd=default_project.path,
        env=settings(tmp_path, free_port()),
    )

    assert serving.returncode == 3
    assert serving.stderr.startswith("HOST='0.0.0.0' is not accepted without API_TOKENS: ")
    assert serving.stderr.count("\n") == 1


def test_another_server_lets_nobody_in_but_this_machine(
    default_project: Project, elsewhere: str, tmp_path: Path
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
        here = httpx.get(f"http://127.0.0.1:{port}/")
        there = [httpx.get(f"http://{elsewhere}:{port}{path}") for path in paths]
        health = httpx.get(f"http://{elsewhere}:{port}/health")

    assert here.status_code == 200
    assert [answer.status_code for answer in there] == [403] * len(there)
    assert health.status_code == 200


def test_tokens_are_kept_and_never_logged(
    default_project: Project, elsewhere: str, tmp_path: Path
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
        httpx.Client(base_url=f"http://{elsewhere}:{port}") as client,
    ):
        answers = [
            client.get("/export/users.csv?limit=1"),
            client.get("/export/users.csv?limit=1", headers={"Authorization": "Bearer wrong"}),
            client.post("/events/news", headers=OWN, json={"data": 1}),
            client.get("/export/users.csv?limit=1", headers=OWN),
            client.post("/session", headers=OWN),
            client.get("/export/users.csv?limit=1"),
        ]

    assert [answer.status_code for answer in answers] == [401, 401, 403, 200, 204, 200]
    session = answers[4].headers["set-cookie"].partition("=")[2].partition(";")[0]
    written = log.read_text() + "".join(answer.text + str(answer.headers) for answer in answers[:4])
    assert "/export/users.csv" in written
    assert TOKEN not in written
    assert session not in log.read_text()


def test_it_runs_on_a_read_only_machine(default_project: Project, tmp_path: Path) -> None:
    port = free_port()
    data = tmp_path / "data"
    data.mkdir()
    become = () if os.geteuid() == 0 else ("sudo", "-n")
    probe = (*become, "unshare", "--mount", "sh", "-c")
    read_only = READ_ONLY.format(data=data)
    if not find("unshare") or run(*probe, read_only + "true").returncode:
        pytest.skip("only root can take a file system away")
    assert run(*probe, f"{read_only} touch {tmp_path}/written").returncode

    with listener(
        *(*probe, f'{read_only} "$0" -m {default_project.package} serve'),
        default_project.python,
        port=port,
        cwd=default_project.path,
        log=tmp_path / "log",
        env=settings(data, port),
    ):
        answers = [httpx.get(f"http://127.0.0.1:{port}{path}") for path in ("/", "/export/items")]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert list(data.iterdir()) == []
