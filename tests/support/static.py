"""Static analysis of a generated project: its imports and its dependencies."""

import ast
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

from packaging.requirements import Requirement

from support.project import Project

OTHER_NAMES = {"yaml": "pyyaml", "dotenv": "python-dotenv"}
"""Modules whose name is not that of their distribution."""

LOADED_BY_NAME = {"psycopg": "postgresql+psycopg"}
"""Distributions that no module imports, and the text that loads each."""


def import_graph(package: Path) -> dict[str, set[str]]:
    """Map each module of a package to the modules that it imports, under any condition.

    All names are absolute: `from ..registry import Chunk` is `streaming_api.streaming.registry`.
    """
    modules = dict(module_paths(package))
    graph = {}
    for name, path in modules.items():
        context = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(path.read_bytes())
        imported = (each for node in ast.walk(tree) for each in names_imported(node, context))
        graph[name] = {full if full in modules else module for module, full in imported}
    return graph


def module_paths(package: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and the path of each module of a package."""
    for path in package.rglob("*.py"):
        *parents, last = path.relative_to(package.parent).with_suffix("").parts
        yield ".".join(parents if last == "__init__" else [*parents, last]), path


def names_imported(node: ast.AST, context: str) -> Iterator[tuple[str, str]]:
    """Yield each imported module, alone and with the name that is imported from it."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = resolve_name("." * node.level + (node.module or ""), context)
        yield from ((module, f"{module}.{alias.name}") for alias in node.names)


def distributions(package: Path, *own: str) -> set[str]:
    """List the distributions that a package imports; Python's and the project's own have none."""
    imported = set().union(*import_graph(package).values())
    # Python has `compression` from 3.14 on.
    standard = sys.stdlib_module_names | {"compression"}
    foreign = {name.partition(".")[0] for name in imported} - standard
    return {OTHER_NAMES.get(each, each).replace("_", "-") for each in foreign - {*own}}


def loaded_by_name(package: Path) -> set[str]:
    """List the distributions that a package loads without an import."""
    source = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    return {name for name, text in LOADED_BY_NAME.items() if text in source}


def runtime_dependencies(project: Project) -> set[str]:
    """List the distributions that the project needs at run time."""
    return {Requirement(item).name for item in project.metadata["dependencies"]}


def group_dependencies(project: Project) -> set[str]:
    """List the distributions of all dependency groups."""
    groups = project.pyproject["dependency-groups"].values()
    return {Requirement(item).name for group in groups for item in group if isinstance(item, str)}
