"""The names in the pre-generation hook: nothing that a project meets is missing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pre_gen_project
from support import names
from support.tools import require


def test_names_contain_this_python_s_modules() -> None:
    assert names.slugs(sys.stdlib_module_names) <= pre_gen_project.STANDARD_LIBRARY


def test_names_contain_every_resolved_distribution() -> None:
    try:
        resolved = names.resolution()
    except names.OfflineError as error:
        pytest.skip(f"uv resolves nothing: {error}")

    distributions = names.slugs(line.partition("==")[0] for line in resolved)

    assert distributions <= pre_gen_project.DEPENDENCIES | pre_gen_project.STANDARD_LIBRARY


def test_names_contain_every_required_distribution() -> None:
    required = (re.split(r"[\[<>=~!; ]", item)[0] for item in names.requirements())

    assert names.slugs(required) <= pre_gen_project.DEPENDENCIES


def test_names_contain_the_folders_that_tools_ignore() -> None:
    require("ruff")

    assert names.ignored_folders() <= pre_gen_project.IGNORED_FOLDERS


def test_names_contain_an_environment_s_commands(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    commands = names.slugs(path.stem for path in tmp_path.glob("bin/*"))

    assert commands <= pre_gen_project.ENVIRONMENT_COMMANDS


def test_names_are_written_between_two_comments() -> None:
    source = names.HOOK.read_text(encoding="utf-8")

    written = source.partition(names.START)[2].partition(names.END)[0]

    for name in ("STANDARD_LIBRARY", "DEPENDENCIES", "ENVIRONMENT_COMMANDS", "IGNORED_FOLDERS"):
        assert names.constant(name, getattr(pre_gen_project, name)) in written
