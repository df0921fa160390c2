"""Projects in which every pair of answers meets: installed, type-checked and tested."""

import re
import sys
from pathlib import Path

import pytest

import pre_gen_project
from support.answers import DEFAULT, SMALLEST, Answers, covering_set, has_exports, name
from support.project import Bake, Project
from support.static import LOADED_BY_NAME
from support.tools import TEMPLATE, arguments, require, succeed

COVERING_SET = [pytest.param(answers, id=name(answers)) for answers in covering_set()]

AWKWARD = 'It\'s "Ünï" \\ 🎉 واجهة <b>&amp;'


def servers(answers: Answers, request: pytest.FixtureRequest) -> dict[str, str]:
    """Start the servers that the answers ask for; the settings that point at them."""
    settings = {}
    if has_exports(answers) and answers["database"] == "postgresql":
        settings["DATABASE_URL"] = request.getfixturevalue("postgresql_url")
    if answers["sse"] and answers["event_broker"] == "redis":
        settings["REDIS_URL"] = request.getfixturevalue("redis_url")
    return settings


UNUSED = f"DEP002={'|'.join(LOADED_BY_NAME)}"
"""What deptry must not miss an import of."""

INSTALLED = """
from importlib.metadata import distributions, packages_distributions

print(*packages_distributions(), *(each.name for each in distributions()))
"""
"""A program that prints the names of all modules and distributions beside it."""


def check(project: Project, settings: dict[str, str]) -> None:
    """Check types, dependencies, their names, known weaknesses and the behaviour of a project."""
    project.run("mypy", env=settings)
    project.run("--with", "deptry", "deptry", "--per-rule-ignores", UNUSED, ".", env=settings)
    succeed("bandit", "--quiet", "--recursive", str(project.path / "src"))
    project.run("pytest", "--cov", "-W", "error", env=settings)
    assert taken(project) <= pre_gen_project.DEPENDENCIES | sys.stdlib_module_names


def taken(project: Project) -> set[str]:
    """List the names, in the form of a slug's package, that the project's environment holds."""
    names = project.run("python", "-c", INSTALLED).split()
    packages = {name.replace("-", "_").lower() for name in names}
    return {name for name in packages if re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name)} - {
        project.package
    }


@pytest.mark.parametrize("answers", COVERING_SET)
def test_a_variant_passes_its_own_tests_and_a_strict_type_check(
    bake: Bake, answers: Answers, request: pytest.FixtureRequest
) -> None:
    check(bake(**answers), servers(answers, request))


def test_awkward_names_pass_the_project_s_own_tests(bake: Bake) -> None:
    project = bake(
        project_name=AWKWARD, project_slug="awkward", description=AWKWARD, author_name=AWKWARD
    )

    project.run("pytest")


@pytest.mark.parametrize("answers", [DEFAULT, SMALLEST], ids=["default", "smallest"])
def test_a_user_s_two_commands_end_in_passing_tests(tmp_path: Path, answers: Answers) -> None:
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
    report = succeed(uv, "run", "pytest", cwd=work / "streaming-api", env=env)

    assert " passed" in report
    assert " failed" not in report
