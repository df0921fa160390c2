"""The documentation of the repository: its commands, tests and links."""

import re
from pathlib import Path

import pytest

from support.answers import DEFAULT, RECIPES, normal
from support.tools import TEMPLATE

PAGES = [*TEMPLATE.glob("*.md"), *(TEMPLATE / "docs").glob("*.md")]
README = (TEMPLATE / "README.md").read_text(encoding="utf-8")
ANSWER = re.compile(r"\b([a-z_]+)=([\w.-]+)")
BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}

every_page = pytest.mark.parametrize("page", PAGES, ids=[path.name for path in PAGES])


@pytest.mark.parametrize("recipe", RECIPES)
def test_readme_has_a_command_for_recipe(recipe: str) -> None:
    lines = README.replace("\\\n", " ").splitlines()

    commands = [
        DEFAULT | {name: BOOLEANS.get(value, value) for name, value in ANSWER.findall(line)}
        for line in lines
        if re.search(r"\bcookiecutter\b.*--no-input", line)
    ]

    assert normal(RECIPES[recipe]) in list(map(normal, commands))


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (TEMPLATE / ".ci" / "run").read_text(encoding="utf-8")

    command = script.splitlines()[-1].removesuffix(' "$@"')

    assert command.endswith("uv run pytest")
    assert command in README.splitlines()


@every_page
def test_page_links_to_existing_files(page: Path) -> None:
    links = re.findall(
        r"\]\((?!\w+:|#)([^)#\s]+)|src(?:set)?=\"(?!\w+:)([^\"]+)\"", page.read_text("utf-8")
    )

    missing = [link for pair in links for link in pair if not (page.parent / link).exists()]

    assert missing == []


@every_page
def test_page_names_existing_tests(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    folders = [TEMPLATE / "tests", TEMPLATE / "{{cookiecutter.project_slug}}" / "tests"]
    modules = [path for folder in folders for path in folder.rglob("test_*.py")]
    known = {path.stem for path in modules}
    known |= {
        name
        for path in modules
        for name in re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8"))
    }

    paths = re.findall(r"`((?:tests|\{\{cookiecutter\.project_slug\}\})/[^`\s]*)`", text)
    names = set(re.findall(r"\btest_\w+\b", text))

    assert [path for path in paths if not (TEMPLATE / path).exists()] == []
    assert names - known == set()
