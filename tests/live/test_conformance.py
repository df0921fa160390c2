"""Conformance of running projects with their OpenAPI description, by schemathesis."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV32SpecValidator

from support import conformance_hooks
from support.process import listener
from support.project import Project
from support.tools import free_port, require, succeed

EXAMPLES = os.environ.get("CONFORMANCE_EXAMPLES", "10")
"""Maximum number of requests for each operation and kind of test."""

TOKENS = '{"everything": ["events", "publish", "export"]}'
LIMITS = {
    # Event streams end, and as many are open as there are requests. An export of few rows is
    # complete in this time; on a busy machine it is requested again.
    "MAX_STREAM_SECONDS": "1",
    "MAX_STREAMS_PER_CLIENT": "10000",
    # At the end some runs continue.
    "SHUTDOWN_GRACE_SECONDS": "0.1",
}


@pytest.fixture(params=["default_project", "project_on_servers"])
def name(request: pytest.FixtureRequest) -> str:
    """The name of each project."""
    name: str = request.param
    return name


@pytest.fixture
def tokens(name: str) -> str:
    """The setting `API_TOKENS`: the default project has none."""
    return "{}" if name == "default_project" else TOKENS


@pytest.fixture
def url(name: str, tokens: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of each project, running with its servers."""
    port = free_port()
    project: Project = request.getfixturevalue(name)
    settings = LIMITS | {"PORT": str(port), "API_TOKENS": tokens}
    if name == "default_project":
        settings["DATABASE_URL"] = f"sqlite:///{tmp_path}/own.db"
    else:
        settings["DATABASE_URL"] = request.getfixturevalue("postgresql_url")
        settings["REDIS_URL"] = request.getfixturevalue("redis_url")
    project.run(project.slug, "seed", "--yes", "--rows", "10", env=settings)
    with listener(
        *(require("uv"), "run", project.slug, "serve"),
        port=port,
        cwd=project.path,
        log=tmp_path / "log",
        env=settings,
    ):
        yield f"http://127.0.0.1:{port}"


def test_openapi_description_is_valid(url: str) -> None:
    description = httpx.get(f"{url}/openapi.json").json()

    OpenAPIV32SpecValidator(description).validate()

    assert description["openapi"] == "3.2.0"


def test_service_conforms_to_its_description(url: str, tokens: str, tmp_path: Path) -> None:
    paths = httpx.get(f"{url}/openapi.json").json()["paths"]
    operations = selected = sum(map(len, paths.values()))
    options = [f"--header=Authorization: Bearer {token}" for token in json.loads(tokens)]
    if not options:
        # Without tokens every sign-in is 401.
        options = ["--exclude-operation-id", paths["/session"]["post"]["operationId"]]
        selected -= 1
    schemathesis = Path(sys.executable).with_name("schemathesis")

    report = succeed(
        *(str(schemathesis), "--no-color", "run", f"{url}/openapi.json", "--checks", "all"),
        *("--max-examples", EXAMPLES, "--seed", "1", "--generation-database", "none"),
        *("--request-timeout", "30", "--request-retries", "2", "--continue-on-failure"),
        # A run that was stopped by DELETE still has a status.
        *("--exclude-checks", "use_after_free"),
        *options,
        cwd=tmp_path,
        env={
            "SCHEMATHESIS_HOOKS": conformance_hooks.__name__,
            "PYTHONPATH": str(Path(conformance_hooks.__file__).parents[1]),
        },
    )

    assert f"{selected} selected / {operations} total" in report
    # A warning is a pattern that it cannot use, or an operation that never succeeds.
    assert "WARNINGS" not in report
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "Traceback" not in log
