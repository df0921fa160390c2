"""cruft: a project that follows the template, and one that changes its answers."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from support.project import Bake, Project
from support.tools import TEMPLATE, require, run, succeed

CRUFT = (sys.executable, "-m", "cruft")

pytestmark = pytest.mark.usefixtures("cookiecutter_home")


def commit(folder: Path, message: str) -> None:
    """Commit everything in a folder to a repository of its own."""
    git = require("git")
    if not (folder / ".git").exists():
        succeed(git, "init", "--quiet", "--initial-branch=main", cwd=folder)
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    succeed(git, "add", "--all", cwd=folder)
    succeed(git, *author, "commit", "--quiet", "--no-verify", "-m", message, cwd=folder)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """Commit the work tree of the template to a repository of its own."""
    folder = tmp_path / "the template"
    for name in ("cookiecutter.json", "hooks", "{{cookiecutter.project_slug}}"):
        source = TEMPLATE / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*_cache", ".venv")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(source, folder / name)
    commit(folder, "The template")
    return folder


def create(template: Path, folder: Path, **answers: object) -> Project:
    """Create a project that follows the template, in a folder and a repository of its own."""
    context = json.dumps(answers)
    done = succeed(
        *(*CRUFT, "create", str(template), "--no-input", "--extra-context", context),
        *("--output-dir", str(folder)),
    )
    assert "uv run streaming-api serve" in done
    project = Project(folder / "streaming-api")
    commit(project.path, "From the template")
    return project


def update(project: Project, **answers: object) -> str:
    """Change answers of a project, from a shell in its folder; return what is printed."""
    return succeed(
        *(*CRUFT, "update", "--skip-apply-ask", "--variables-to-update", json.dumps(answers)),
        cwd=project.path,
        env={"PWD": str(project.path)},
    )


def generated(project: Project) -> dict[str, bytes]:
    """Return the files of a project without the records of git and cruft."""
    return {
        path: content
        for path, content in project.contents.items()
        if path != ".cruft.json" and not path.startswith(".git/")
    }


def test_create_generates_what_cookiecutter_does(
    template: Path, tmp_path: Path, bake: Bake
) -> None:
    project = create(template, tmp_path / "with space", csv=False)

    assert generated(project) == bake(csv=False).contents


def test_check_template_changed_fails(template: Path, tmp_path: Path) -> None:
    project = create(template, tmp_path / "work")

    before = run(*CRUFT, "check", cwd=project.path)
    (template / "{{cookiecutter.project_slug}}" / "MORE.md").write_text("More.\n")
    commit(template, "More")
    after = run(*CRUFT, "check", cwd=project.path)

    assert (before.returncode, after.returncode) == (0, 1)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"sse": False}, {"sse": True}),
        ({}, {"ndjson": False, "csv": False}),
        ({"csv": False, "compression": False}, {"csv": True, "database": "postgresql"}),
        ({}, {"event_broker": "redis", "request_id": False, "security_headers": False}),
    ],
    ids=["more", "less", "other-database", "other-broker"],
)
def test_update_lands_where_a_fresh_project_does(
    template: Path, tmp_path: Path, bake: Bake, first: dict[str, object], then: dict[str, object]
) -> None:
    project = create(template, tmp_path / "work", **first)

    update(project, **then)

    assert generated(project) == bake(**(first | then)).contents


ORDERS = """from sqlalchemy import Column, MetaData, Table, Uuid

metadata = MetaData()

orders = Table("orders", metadata, Column("id", Uuid, primary_key=True))
"""


def edit(project: Project) -> None:
    """Replace the tables, and add a route, a setting and a version, as an owner does."""
    edits = {
        "main.py": [
            ("from . import __version__", "from . import __version__, currency"),
            (
                "    install_docs(app)",
                "    install_docs(app)\n    app.include_router(currency.router)",
            ),
        ],
        "settings.py": [
            ("\n\n\ndef load_settings", '\n    currency: str = "EUR"\n\n\ndef load_settings'),
        ],
    }
    for name, pairs in edits.items():
        for old, new in pairs:
            text = project.read(f"src/streaming_api/{name}")
            assert text.count(old) == 1
            (project.package_path / name).write_text(text.replace(old, new), encoding="utf-8")
    (project.package_path / "tables.py").write_text(ORDERS, encoding="utf-8")
    with (project.path / ".env.example").open("a", encoding="utf-8") as file:
        file.write("\n# CURRENCY=EUR\n")
    heading = "\n\n## Extending"
    readme = project.read("README.md").replace(heading, f"\n| `CURRENCY` |{heading}")
    (project.path / "README.md").write_text(readme, encoding="utf-8")
    pyproject = project.read("pyproject.toml").replace('version = "0.1.0"', 'version = "1.0.0"')
    (project.path / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    commit(project.path, "Edit")


def unmerged(project: Project) -> list[str]:
    """List the files of a project that an update left with conflicts or rejected."""
    listed = succeed(require("git"), "diff", "--name-only", "--diff-filter=U", cwd=project.path)
    return listed.split() + [str(path) for path in project.path.rglob("*.rej")]


@pytest.mark.parametrize(
    ("name", "default", "other"),
    [
        ("sse", True, False),
        ("csv", True, False),
        ("database", "sqlite", "postgresql"),
        ("chat", "none", "openai"),
        ("console", True, False),
        ("description", "A FastAPI service that streams its data.", "Orders as a stream."),
    ],
)
def test_update_of_an_edited_project_has_no_conflict(
    template: Path, tmp_path: Path, name: str, default: object, other: object
) -> None:
    project = create(template, tmp_path / "work")
    edit(project)
    edited = generated(project)

    update(project, **{name: other})
    conflicts = unmerged(project)
    commit(project.path, "Update")
    update(project, **{name: default})

    assert conflicts == []
    assert generated(project) == edited


def test_update_names_the_project_once(template: Path, tmp_path: Path) -> None:
    project = create(template, tmp_path / "work")

    out = update(project, sse=False)

    assert [line for line in out.splitlines() if line.startswith("Created: ")] == [
        f"Created:  {project.path}"
    ]
    assert f"cd {project.path} && uv run pytest" in out


def test_diff_prints_no_next_steps(template: Path, tmp_path: Path) -> None:
    project = create(template, tmp_path / "work")

    out = succeed(*CRUFT, "diff", cwd=project.path, env={"PWD": str(project.path)})

    assert out == ""


def test_update_in_a_later_year_keeps_the_year(template: Path, tmp_path: Path) -> None:
    project = create(template, tmp_path / "work")
    text = re.sub(r"\(c\) \d{4}", "(c) 2020", project.read("LICENSE"))
    (project.path / "LICENSE").write_text(text, encoding="utf-8")
    commit(project.path, "Generated in 2020")

    update(project, author_name="Ada", license="BSD-3-Clause")

    assert "Copyright (c) 2020, Ada\n" in project.read("LICENSE")
    assert not list(project.path.rglob("*.rej"))
