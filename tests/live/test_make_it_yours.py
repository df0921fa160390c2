"""The page "Make it yours": every block is pasted or run, and the project's own tests pass."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from support import servers
from support.answers import DEFAULT, RECIPES, Answers, uses
from support.browser import launched
from support.pages import Block, is_shown, paste, sections
from support.process import listener, logged
from support.project import Bake, Project
from support.service import served
from support.tools import TEMPLATE, clean_environment, free_port, require, succeed

PAGE = "docs/make-it-yours.md"
URL = "http://127.0.0.1:8000"
"""The service in the commands of the page."""
RENAME = "Rename the project"
MIGRATE = "Migrate with Alembic"
AUTHENTICATE = "Authenticate in another way"
SERVERS = "Run under another server"
PORTS = {"uvicorn": "--port {}", "gunicorn": "--bind 127.0.0.1:{}", "fastapi": "--port {}"}
"""The option of each server that sets its port."""
STOP_SECONDS = 6
"""Less than the time after which a server cuts the streams that are left."""
KEY = "a key of at least thirty-two bytes"
VARIANTS = {
    "default": DEFAULT,
    "replicas": RECIPES["replicas"],
    "events-only": RECIPES["events-only"],
}


class Reader:
    """Follows the page in a project, section by section."""

    def __init__(
        self, project: Project, answers: Answers, env: Mapping[str, str], folder: Path
    ) -> None:
        self.project = project
        self.answers = answers
        self.env: dict[str, Any] = dict(env)
        self.log = folder / "log"
        self.pages = folder / "pages"
        self.pages.mkdir()

    def follow(self, heading: str, blocks: list[Block]) -> None:
        """Paste and run the blocks of a section."""
        for block in blocks:
            if block.language == "python":
                paste(block, self.project.path)
            elif block.language == "ini":
                assert set(re.findall(r"^([A-Z_]+)=", block.code, re.MULTILINE)) <= self.settings
            elif block.language == "js":
                self.run_script(block.text)
            elif heading == SERVERS:
                for command, _ in block.commands:
                    self.run_server(command)
            else:
                self.run(block)

    @property
    def settings(self) -> set[str]:
        """The names of the settings."""
        return set(re.findall(r"^# ([A-Z_]+)=", self.project.read(".env.example"), re.MULTILINE))

    def run(self, block: Block) -> None:
        """Run commands, beside the service if they need it; compare what they print."""
        if URL not in block.text:
            for command, shown in block.commands:
                self.run_command(command, shown)
            return
        self.project.run("ruff", "check", "--fix", "--quiet", "src")
        commands = list(block.commands)
        while URL not in commands[0][0]:
            self.run_command(*commands.pop(0))
        with self.served() as url:
            for command, shown in commands:
                self.run_command(command.replace(URL, url), shown)

    def served(self, **settings: str) -> AbstractContextManager[str]:
        """Run the service of the project."""
        return served(self.project, self.log, **(self.env | settings))

    def run_command(self, command: str, shown: str) -> None:
        """Run a command; fail if it fails, unless the page shows an invalid setting."""
        database = self.env.get("DATABASE_URL", "").replace("postgresql:", "postgresql+psycopg:")
        command = re.sub(r"postgresql\+psycopg://\S+", database, command)
        command = command.replace("uvx cruft", f"{shlex.quote(sys.executable)} -m cruft")
        uv = Path(require("uv")).parent
        done = subprocess.run(
            [require("bash"), "-c", f"PATH={shlex.quote(str(uv))}:$PATH; {command}"],
            cwd=self.project.path,
            env=clean_environment() | self.env | {"PWD": str(self.project.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )
        output = done.stdout + done.stderr
        assert (done.returncode == 0) is not shown.startswith("Invalid "), f"{command}\n{output}"
        printed = output.splitlines()[-1] if done.returncode else done.stdout
        assert not shown or is_shown(shown, printed), f"{command}\n{output}"

    def run_server(self, command: str) -> None:
        """Run a server until it streams, and stop it, which an open stream must not delay."""
        port = free_port()
        (name,) = (each for each in PORTS if f" {each} " in command)
        with ExitStack() as streams:
            with listener(
                *(require("uv"), *shlex.split(command)[1:], *PORTS[name].format(port).split()),
                port=port,
                cwd=self.project.path,
                log=self.log,
                env=self.env,
            ):
                url = f"http://127.0.0.1:{port}"
                path = "/events/news" if uses(self.answers)["sse"] else "/health"
                response = streams.enter_context(httpx.stream("GET", url + path))
                start = monotonic()

            assert response.is_success
            assert monotonic() - start < STOP_SECONDS

    def run_script(self, script: str) -> None:
        """Run a script in a page of another origin; it prints what the service sends."""
        text = "of another origin"
        token = json.dumps({"secret": ["events", "publish"]})
        with page_server(self.pages) as origin:
            settings = {"CORS_ORIGINS": origin, "API_TOKENS": token}
            with self.served(**settings) as url, launched() as browser:
                bearer = {"Authorization": "Bearer secret"}
                httpx.post(f"{url}/events/news", json={"data": text}, headers=bearer)
                page = browser.new_page()
                page.goto(origin)
                script = script.replace(URL, url)
                with page.expect_console_message(lambda message: text in message.text):
                    page.evaluate(f"() => {{ (async (token) => {{ {script} }})('secret'); }}")

    def migrate(self, blocks: list[Block]) -> None:
        """Follow the section on migrations while the service runs on a database without tables."""
        missing = "Missing tables: "
        with self.served() as url:
            before = httpx.get(f"{url}/health")
            self.follow(MIGRATE, blocks)
            after = httpx.get(f"{url}/health")

            assert (before.status_code, after.status_code) == (503, 200)
            assert before.json()["detail"].startswith(missing)
            assert logged(self.log, missing)
            for path in re.findall(r"/export/\w+", httpx.get(f"{url}/openapi.json").text):
                assert httpx.get(url + path).status_code == (503 if "large" in path else 200), path

    def check_signed_tokens(self) -> None:
        """Fail unless the service accepts signed tokens, and those of its setting."""
        settings = {"JWT_KEY": KEY, "API_TOKENS": '{"secret": ["export"]}'}
        with self.served(**settings) as url:
            statuses = {
                token: httpx.get(
                    f"{url}/export/orders", headers={"Authorization": f"Bearer {token}"}
                ).status_code
                for token in (
                    "secret",
                    self.signed(KEY, scope="export events", exp=2**32),
                    self.signed(KEY, scope="events", exp=2**32),
                    self.signed(KEY, scope="export", exp=0),
                    self.signed(KEY[::-1], scope="export", exp=2**32),
                    "unknown",
                )
            }
        assert list(statuses.values()) == [200, 200, 403, 401, 401, 401]

    def signed(self, key: str, **claims: object) -> str:
        """Return a signed token."""
        program = f"import jwt; print(jwt.encode({claims | {'sub': 'ada'}}, {key!r}))"
        return self.project.run("python", "-c", program).strip()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def page_server(folder: Path) -> Iterator[str]:
    """Serve a folder; yield the origin."""
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("answers", VARIANTS.values(), ids=VARIANTS)
def test_page_followed_block_by_block_gives_a_tested_project(
    request: pytest.FixtureRequest, bake: Bake, tmp_path: Path, answers: Answers
) -> None:
    project = bake(**answers)
    used = uses(answers)
    env = {}
    if used["redis"]:
        env["REDIS_URL"] = request.getfixturevalue("redis_url")
    if used["postgresql"]:
        env["DATABASE_URL"] = request.getfixturevalue("postgresql_url")
    reader = Reader(project, answers, env, tmp_path)
    page = sections(project.read(PAGE))
    del page[RENAME]

    for heading, blocks in page.items():
        if heading == MIGRATE:
            if used["postgresql"]:
                server = request.getfixturevalue("postgresql_server")
                reader.env["DATABASE_URL"] = servers.new_database(server, "empty")
            else:
                (project.path / f"{project.package}.db").write_bytes(b"")
            reader.migrate(blocks)
        else:
            reader.follow(heading, blocks)
        if heading == AUTHENTICATE and used["exports"]:
            reader.check_signed_tokens()

    project.run("ruff", "check", "--fix")
    project.run("ruff", "format")
    project.run("mypy")
    project.run("pytest")


@pytest.mark.usefixtures("cookiecutter_home")
def test_renamed_project_passes_its_tests(tmp_path: Path) -> None:
    template = tmp_path / "template"
    for name in ("hooks", "{{cookiecutter.project_slug}}"):
        ignored = shutil.ignore_patterns("__pycache__", ".*_cache", ".venv")
        shutil.copytree(TEMPLATE / name, template / name, ignore=ignored)
    shutil.copy(TEMPLATE / "cookiecutter.json", template)
    commit(template)
    cruft = (sys.executable, "-m", "cruft")
    succeed(*cruft, "create", str(template), "--no-input", "--output-dir", str(tmp_path))
    project = Project(tmp_path / "streaming-api")
    commit(project.path)

    blocks = sections(project.read(PAGE))[RENAME]
    Reader(project, DEFAULT, {}, tmp_path).follow(RENAME, blocks)

    assert "streaming_api" not in "".join(map(str, project.package_path.parent.rglob("*.py")))
    project.run("pytest")


def commit(folder: Path) -> None:
    """Commit everything in a folder to a repository of its own."""
    git = (require("git"), "-c", "user.name=Test", "-c", "user.email=test@example.org")
    succeed(*git, "init", "--quiet", cwd=folder)
    succeed(*git, "add", "--all", cwd=folder)
    succeed(*git, "commit", "--quiet", "--message", "First", cwd=folder)
