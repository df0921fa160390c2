"""Installed variants: types, dependencies, known weaknesses, and all tests at full coverage."""

import re
import shutil
import sys
from pathlib import Path

import pytest

import pre_gen_project
from support.answers import (
    DEFAULT,
    RECIPES,
    SMALLEST,
    Answers,
    covering_set,
    flips,
    name,
    normal,
    pairs,
    uses,
)
from support.project import Bake, Project
from support.static import LOADED_BY_NAME
from support.tools import TEMPLATE, arguments, require, succeed

ENGINE_TESTS = TEMPLATE / "tests" / "engine"
ENGINE_GATE = ("--cov", "--cov-config=tests/engine/coveragerc")
ENGINE_TOOLS = ("--with", "hypothesis")
"""Packages of the engine's tests that projects do not depend on."""
SLOW = ("live", "streaming", "test_commands.py", "test_server.py", "yields/test_live.py")
"""Tests of the engine that are slow, and test what is the same in all variants."""

AWKWARD = 'It\'s "Ünï" \\ 🎉 واجهة <b>&amp;'

UNUSED = f"DEP002={'|'.join(LOADED_BY_NAME)}"
"""An option of deptry: distributions that are loaded without an import."""

INSTALLED = """
from importlib.metadata import distributions, packages_distributions

print(*packages_distributions(), *(each.name for each in distributions()))
"""
"""A program that prints the names of all installed modules and distributions."""


SHELL = {
    "ALL_PROXY": "http://127.0.0.1:9",
    "HOST": "192.0.2.1",
    "LC_ALL": "C",
    "PORT": "1",
    "PYTHONCOERCECLOCALE": "0",
    "TERM": "dumb",
    "WEB_CONCURRENCY": "4",
    "http_proxy": "http://127.0.0.1:9",
}
"""An environment that the tests of a project must not depend on."""

ENGINE_FACTORS = {"sse", "ndjson", "csv", "database", "event_broker", "auth", "client"}
"""The answers that change the engine most."""


def engine_pairs(answers: Answers) -> set[object]:
    """List the pairs of answers that change the engine most."""
    return pairs({key: value for key, value in answers.items() if key in ENGINE_FACTORS})


def installed_variants() -> list[Answers]:
    """List the recipes, and few other variants so that every pair of those answers occurs.

    All have the default license, which changes no code.
    """
    license_of = {"license": DEFAULT["license"]}
    chosen = [normal(recipe) for recipe in RECIPES.values()]
    candidates = [
        normal(flipped | license_of) for answers in covering_set() for flipped in flips(answers)
    ]
    missing = set().union(*map(engine_pairs, candidates)) - set().union(*map(engine_pairs, chosen))
    while missing:
        chosen.append(max(candidates, key=lambda answers: len(engine_pairs(answers) & missing)))
        missing -= engine_pairs(chosen[-1])
    return chosen


VARIANTS = [pytest.param(answers, id=name(answers)) for answers in installed_variants()]


def servers(answers: Answers, request: pytest.FixtureRequest) -> dict[str, str]:
    """Start the servers of the answers; return the settings of their addresses."""
    used = uses(answers)
    settings = {}
    if used["postgresql"]:
        settings["DATABASE_URL"] = request.getfixturevalue("postgresql_url")
    if used["redis"]:
        settings["REDIS_URL"] = request.getfixturevalue("redis_url")
    return settings


@pytest.fixture(scope="session")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The setting of a cache that variants share: most of it is of their dependencies."""
    return {"MYPY_CACHE_DIR": str(tmp_path_factory.mktemp("mypy"))}


def check(
    project: Project, settings: dict[str, str], *, is_recipe: bool, with_engine: bool
) -> None:
    """Check types, dependencies, their names and known weaknesses; run all tests of a project.

    With `with_engine` the tests of the engine run beside the project's own. In a recipe the own
    tests have to cover the application, and all tests the engine; in other variants the slow tests
    of what is the same in all variants are left out.
    """
    project.run("mypy", env=settings)
    project.run("--with", "deptry", "deptry", "--per-rule-ignores", UNUSED, ".", env=settings)
    succeed("bandit", "--quiet", "--recursive", str(project.path / "src"))
    assert names(project) <= pre_gen_project.DEPENDENCIES | sys.stdlib_module_names
    if is_recipe:
        project.run("pytest", "-W", "error", "--cov", env=settings)
    if not with_engine:
        return
    shutil.copytree(ENGINE_TESTS, project.path / "tests" / "engine")
    options = ENGINE_GATE if is_recipe else [f"--ignore=tests/engine/{path}" for path in SLOW]
    pytest_command = ("python", "-m", "pytest", "-W", "error", *options)
    project.run(*ENGINE_TOOLS, *pytest_command, env=settings)


def names(project: Project) -> set[str]:
    """List the names in the project's environment that a slug could be converted to."""
    printed = project.run("python", "-c", INSTALLED).split()
    packages = {name.replace("-", "_").lower() for name in printed}
    return {name for name in packages if re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name)} - {
        project.package
    }


@pytest.mark.parametrize("answers", VARIANTS)
def test_variant_passes_all_checks(
    bake: Bake, answers: Answers, mypy_cache: dict[str, str], request: pytest.FixtureRequest
) -> None:
    check(
        bake(**answers),
        mypy_cache | servers(answers, request),
        is_recipe=name(answers) in RECIPES,
        # "everything" has the same engine, and the client in addition.
        with_engine=name(answers) != "replicas",
    )


def test_awkward_names_pass_the_tests(bake: Bake) -> None:
    project = bake(
        project_name=AWKWARD, project_slug="awkward", description=AWKWARD, author_name=AWKWARD
    )

    project.run("pytest")


@pytest.mark.parametrize("answers", [DEFAULT, SMALLEST], ids=["default", "smallest"])
def test_documented_commands_end_in_passing_tests(tmp_path: Path, answers: Answers) -> None:
    home = tmp_path / "home"
    work = tmp_path / "my work"
    home.mkdir()
    work.mkdir()
    uv = require("uv")
    cache = succeed(uv, "cache", "dir").strip()
    env = {"HOME": str(home), "UV_CACHE_DIR": cache, "UV_PYTHON": sys.executable}

    succeed(
        *(sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--no-input"),
        *arguments(answers),
        cwd=work,
        env=env,
    )
    succeed(uv, "sync", cwd=work / "streaming-api", env=env)
    report = succeed(uv, "run", "pytest", cwd=work / "streaming-api", env=env | SHELL)

    assert " passed" in report
    assert " failed" not in report
