"""A generated project, as a test sees it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from support.tools import require, succeed


@dataclass(frozen=True)
class Project:
    """A generated project in its folder."""

    path: Path

    @property
    def slug(self) -> str:
        """The folder's name, which is the distribution and the command too."""
        return self.path.name

    @property
    def package(self) -> str:
        """The name to import."""
        return self.slug.replace("-", "_")

    @property
    def python(self) -> str:
        """The interpreter of its environment, which `uv run` makes."""
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
        """The tables of `pyproject.toml`."""
        return tomllib.loads(self.read("pyproject.toml"))

    @property
    def metadata(self) -> dict[str, Any]:
        """The table of `pyproject.toml` that describes the distribution."""
        metadata: dict[str, Any] = self.pyproject["project"]
        return metadata

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> str:
        """Run a command in the project through `uv run`, insisting on success."""
        return succeed(require("uv"), "run", *command, cwd=self.path, env=env)


class Bake(Protocol):
    """A function that generates a project from answers."""

    def __call__(self, folder: Path | None = None, /, **answers: object) -> Project:
        """Generate a project in a folder of its own, or in the given one."""
