"""A generated project, as a test sees it."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from support.answers import Answers
from support.tools import require, succeed


@dataclass(frozen=True)
class Project:
    """A generated project in its folder."""

    path: Path

    @property
    def slug(self) -> str:
        """The name of the folder, of the distribution and of the command."""
        return self.path.name

    @property
    def package(self) -> str:
        """The name to import."""
        return self.slug.replace("-", "_")

    @property
    def package_path(self) -> Path:
        """The folder of the package."""
        return self.path / "src" / self.package

    @property
    def python(self) -> str:
        """The interpreter of its environment, which the first `uv run` creates."""
        return str(self.path / ".venv/bin/python")

    @property
    def files(self) -> set[str]:
        """The paths of all files, relative to the project."""
        return {
            path.relative_to(self.path).as_posix()
            for path in self.path.rglob("*")
            if path.is_file()
        }

    @property
    def contents(self) -> dict[str, bytes]:
        """The bytes of all files."""
        return {name: (self.path / name).read_bytes() for name in sorted(self.files)}

    def read(self, name: str) -> str:
        """Return the text of a file."""
        return (self.path / name).read_text(encoding="utf-8")

    @property
    def pyproject(self) -> dict[str, Any]:
        """The content of `pyproject.toml`."""
        return tomllib.loads(self.read("pyproject.toml"))

    @property
    def metadata(self) -> dict[str, Any]:
        """The table `project` of `pyproject.toml`."""
        metadata: dict[str, Any] = self.pyproject["project"]
        return metadata

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> str:
        """Run a command in the project through `uv run`; fail unless it succeeds."""
        return succeed(require("uv"), "run", *command, cwd=self.path, env=env)


class Bake(Protocol):
    """Generates a project from answers."""

    def __call__(self, folder: Path | None = None, /, **answers: object) -> Project:
        """Generate a project, in a new temporary folder unless `folder` is given."""


Render = Callable[[Answers], Project]
"""Generates a project that a test only reads, once for the same answers."""
