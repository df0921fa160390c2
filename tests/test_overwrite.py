"""Generation over a folder that exists, and without the hooks."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.project import Bake, Project
from support.tools import TEMPLATE, run, succeed

pytestmark = pytest.mark.usefixtures("cookiecutter_home")

OVERWRITE = [
    pytest.param(("--overwrite-if-exists",), id="overwrite"),
    pytest.param(("--overwrite-if-exists", "--skip-if-file-exists"), id="skip"),
]


def generate(folder: Path, *arguments: str) -> Project:
    """Generate a project in a folder through the command line."""
    command = (sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--no-input")
    succeed(*command, "--output-dir", str(folder), *arguments)
    return Project(folder / "streaming-api")


@pytest.mark.parametrize("options", OVERWRITE)
def test_overwrite_keeps_files_of_the_user(
    tmp_path: Path, bake: Bake, options: tuple[str, ...]
) -> None:
    own = {
        "compose.yaml": b"services: {}\n",
        "deploy/own.conf": b"",
        "src/streaming_api/own.py": b"",
        "tests/postgresql.py": b"own = True\n",
    }
    for name, content in own.items():
        path = tmp_path / "streaming-api" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    project = generate(tmp_path, *options, "deployment=no")

    assert project.contents == bake(deployment=False).contents | own


@pytest.mark.parametrize("options", OVERWRITE)
def test_overwrite_with_fewer_choices_keeps_every_file(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    before = generate(tmp_path, "database=postgresql", "event_broker=redis").contents

    project = generate(tmp_path, *options, "sse=no", "deployment=no", "csv=no")

    assert before.keys() <= project.contents.keys()
    if "--skip-if-file-exists" in options:
        assert before.items() <= project.contents.items()


def test_overwrite_with_the_same_answers_changes_nothing(tmp_path: Path) -> None:
    before = generate(tmp_path).contents

    project = generate(tmp_path, "--overwrite-if-exists")

    assert project.contents == before


def test_project_without_hooks_says_so(tmp_path: Path) -> None:
    project = generate(tmp_path, "--accept-hooks=no")

    done = run(sys.executable, "-c", "import streaming_api", cwd=project.path / "src")

    assert done.returncode == 1
    assert done.stderr.startswith("Incomplete project: ")
    assert done.stderr.count("\n") == 1
    assert "--accept-hooks=yes" in done.stderr


@pytest.mark.parametrize("options", OVERWRITE)
def test_project_without_hooks_can_be_completed(
    tmp_path: Path, bake: Bake, options: tuple[str, ...]
) -> None:
    generate(tmp_path, "--accept-hooks=no")

    project = generate(tmp_path, *options, "--accept-hooks=yes")

    assert project.contents == bake().contents


@pytest.mark.parametrize("license_name", ["MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"])
def test_license_has_the_current_year(bake: Bake, license_name: str) -> None:
    before = datetime.now(UTC).astimezone().year

    project = bake(license=license_name, author_name="Ada")

    years = {before, datetime.now(UTC).astimezone().year}
    text = project.read("LICENSE")
    assert any(f"{year} Ada" in text or f"{year}, Ada" in text for year in years)
