"""A running project, held to its own description by a program that knows neither."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV32SpecValidator

from support import conformance_hooks
from support.answers import DEFAULT, Answers
from support.process import listener
from support.project import Bake, Project
from support.tools import free_port, require, succeed

EXAMPLES = os.environ.get("CONFORMANCE_EXAMPLES", "20")
"""How many requests are made up for each operation and kind of test, at most."""

LIMITS = {
    # Streams of events have an end here, and there may be as many as there are requests. Exports of
    # few rows are over before; one that is not, on a machine that is busy, is asked for again.
    "MAX_STREAM_SECONDS": "0.3",
    "MAX_STREAMS_PER_CLIENT": "10000",
}

VARIANTS = {
    "default": DEFAULT,
    "redis and postgresql": DEFAULT | {"event_broker": "redis", "database": "postgresql"},
}


@pytest.fixture(params=VARIANTS)
def answers(request: pytest.FixtureRequest) -> Answers:
    """Each of the variants."""
    return VARIANTS[request.param]


@pytest.fixture(params=["{}", '{"everything": ["events", "publish", "export"]}'])
def tokens(request: pytest.FixtureRequest) -> str:
    """Give the setting of a service without tokens, and of one with a token."""
    setting: str = request.param
    return setting


@pytest.fixture
def url(
    answers: Answers, tokens: str, request: pytest.FixtureRequest, bake: Bake, tmp_path: Path
) -> Iterator[str]:
    """Serve the project with its servers; its URL."""
    port = free_port()
    settings = LIMITS | {"PORT": str(port), "API_TOKENS": tokens}
    if answers == DEFAULT:
        project: Project = request.getfixturevalue("default_project")
        settings["DATABASE_URL"] = f"sqlite:///{tmp_path}/own.db"
    else:
        project = bake(**answers)
        settings["DATABASE_URL"] = request.getfixturevalue("postgresql_url")
        settings["REDIS_URL"] = request.getfixturevalue("redis_url")
    project.run(project.slug, "seed", "--rows", "10", env=settings)
    with listener(
        *(require("uv"), "run", project.slug, "serve"),
        port=port,
        cwd=project.path,
        log=tmp_path / "log",
        env=settings,
    ):
        yield f"http://127.0.0.1:{port}"


def test_the_description_is_valid_for_the_version_that_it_declares(url: str) -> None:
    description = httpx.get(f"{url}/openapi.json").json()

    OpenAPIV32SpecValidator(description).validate()

    assert description["openapi"] == "3.2.0"


def test_the_service_keeps_to_its_description(url: str, tokens: str, tmp_path: Path) -> None:
    sent = [f"--header=Authorization: Bearer {token}" for token in json.loads(tokens)]
    selected = "9 selected / 9 total"
    if not sent:
        # Without tokens there is nothing to sign in to: the answer is 401 whatever is sent.
        sent = ["--exclude-operation-id", "sign_in_session_post"]
        selected = "8 selected / 9 total"
    schemathesis = Path(sys.executable).with_name("schemathesis")

    report = succeed(
        *(str(schemathesis), "--no-color", "run", f"{url}/openapi.json", "--checks", "all"),
        *("--max-examples", EXAMPLES, "--seed", "1", "--generation-database", "none"),
        *("--request-timeout", "30", "--request-retries", "2", "--continue-on-failure"),
        *sent,
        cwd=tmp_path,
        env={
            "SCHEMATHESIS_HOOKS": conformance_hooks.__name__,
            "PYTHONPATH": str(Path(conformance_hooks.__file__).parents[1]),
        },
    )

    assert selected in report
    # A pattern that it cannot use, or an operation that it never gets an answer of, is a warning.
    assert "WARNINGS" not in report
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "Traceback" not in log
