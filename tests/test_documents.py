"""The documentation of the repository and of generated projects: commands, tests, code, links."""

import ast
import re
from pathlib import Path

import pytest

from support.answers import DEFAULT, RECIPES, Answers, covering_set, name, normal
from support.pages import sections
from support.project import Project, Render
from support.tools import TEMPLATE

PAGES = [*TEMPLATE.glob("*.md"), *(TEMPLATE / "docs").glob("*.md")]
README = (TEMPLATE / "README.md").read_text(encoding="utf-8")
ANSWER = re.compile(r"\b([a-z_]+)=([\w.-]+)")
BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}

LINK = re.compile(r"\]\(([\w./-]+\.md)?#([\w-]+)\)")

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


def test_pitfalls_are_numbered_and_have_tests() -> None:
    text = (TEMPLATE / "docs" / "pitfalls.md").read_text(encoding="utf-8")

    rows = re.findall(r"^\| P(\d+) \|(.+)\|$", text, re.MULTILINE)

    assert sorted(int(number) for number, _ in rows) == [*range(1, len(rows) + 1)]
    assert f"lists {len(rows)} such pitfalls" in README
    for number, row in rows:
        *words, tests = row.split(" | ")
        assert len(words) == 2, number
        assert re.search(r"`\S+/(test_\w+|conftest)\.py`", tests), number


def anchors(page: str) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def pages(project: Project) -> list[str]:
    """Return the paths of the pages of a project."""
    return [path for path in project.files if path.endswith(".md")]


@pytest.mark.parametrize("answers", covering_set(), ids=name)
def test_page_of_project_links_to_existing_headings(render: Render, answers: Answers) -> None:
    project = render(answers)

    for page in pages(project):
        for path, anchor in LINK.findall(project.read(page)):
            target = (project.path / page).parent / path if path else project.path / page
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page}: {anchor}"


@pytest.mark.parametrize("answers", covering_set(), ids=name)
def test_block_of_project_names_its_file(render: Render, answers: Answers) -> None:
    project = render(answers)

    written = set(project.files)
    for heading, blocks in sections(project.read("docs/make-it-yours.md")).items():
        assert blocks, heading
        for block in (each for each in blocks if each.language == "python"):
            if ast.get_docstring(ast.parse(block.code)):
                written.add(block.file)
            assert block.file in written, f"{heading}: {block.file}"
