"""What can be said of a generated project without running it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from support.project import Project

OTHER_NAMES = {"yaml": "pyyaml", "dotenv": "python-dotenv"}
"""The modules that are not called as their distribution is."""

LOADED_BY_NAME = {"psycopg": "postgresql+psycopg"}
"""The distributions that no module imports, and the words that have them loaded."""


def imported(folder: Path) -> set[str]:
    """List the top-level modules that the Python files of a folder import, under any condition."""
    return {
        name.partition(".")[0]
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        for name in names_imported(node)
    }


def names_imported(node: ast.AST) -> Iterator[str]:
    """Yield the modules that a node imports by absolute names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        yield node.module


def distributions(modules: set[str], *own: str) -> set[str]:
    """Name the distributions that modules come from; Python's and the project's own have none."""
    foreign = modules - sys.stdlib_module_names - set(own)
    return {OTHER_NAMES.get(module, module).replace("_", "-") for module in foreign}


def loaded_by_name(folder: Path) -> set[str]:
    """Name the distributions that the Python files of a folder have loaded without an import."""
    source = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.py"))
    return {name for name, words in LOADED_BY_NAME.items() if words in source}


def runtime_dependencies(project: Project) -> set[str]:
    """Name the distributions that the project needs to run."""
    return {Requirement(item).name for item in project.metadata["dependencies"]}


def group_dependencies(project: Project) -> set[str]:
    """Name the distributions of all dependency groups."""
    groups = project.pyproject["dependency-groups"].values()
    return {Requirement(item).name for group in groups for item in group if isinstance(item, str)}
