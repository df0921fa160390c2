"""The names that a project cannot have, computed and written into the pre-generation hook.

Run `uv run python -m support.names` in `tests/` after a change of the generated dependencies.
"""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import textwrap
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from _pytest.config import get_config

from support.tools import TEMPLATE, find

HOOK = TEMPLATE / "hooks" / "pre_gen_project.py"
START = "# Written by `python -m support.names`.\n"
END = "# End of what `python -m support.names` writes.\n"

OLDEST_PYTHON = "3.11"
NEWEST_PYTHON = "3.14"
"""The newest Python for which all dependencies have wheels."""

STANDARD_LIBRARIES = """
from stdlibs import py311, py312, py313, py314, py315

print(*{name for python in (py311, py312, py313, py314, py315) for name in python.module_names})
"""
"""A program that prints the modules of every supported Python, also of those not installed."""

MYPY_IGNORES = ("node_modules", "site-packages")
"""The folders of other packages in mypy's `find_sources`, which no option shows."""


class OfflineError(Exception):
    """The package index cannot be reached."""


def as_package(name: str) -> str:
    """Write a name as the package of a slug: `Typing-Extensions` → `typing_extensions`."""
    return re.sub(r"[-_.]+", "_", name).lower()


def slugs(names: Iterable[str]) -> set[str]:
    """Choose the names that the package of a slug can have."""
    packages = map(as_package, names)
    return {name for name in packages if re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name)}


def uv(*arguments: str, text: str = "") -> str:
    """Run uv and return its output. Raises `OfflineError`."""
    command = [find("uv") or "uv", *arguments]
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise OfflineError(done.stderr.strip())
    return done.stdout


def requirements() -> list[str]:
    """List what the template's `pyproject.toml` requires under any condition."""
    path = TEMPLATE / "{{cookiecutter.project_slug}}" / "pyproject.toml"
    lines = path.read_text(encoding="utf-8").splitlines()
    pyproject = tomllib.loads("\n".join(line for line in lines if not line.startswith("#{%")))
    groups = pyproject["dependency-groups"].values()
    required = [*pyproject["project"]["dependencies"], *chain.from_iterable(groups)]
    return [item for item in required if isinstance(item, str)]


def resolution() -> list[str]:
    """List the versions, `NAME==VERSION`, for every platform and Python. Raises `OfflineError`."""
    options = ("--universal", "--python-version", OLDEST_PYTHON, "--no-annotate", "--no-header")
    listed = uv("pip", "compile", "--quiet", *options, "-", text="\n".join(requirements()))
    return [line.partition(";")[0].strip() for line in listed.splitlines()]


def install(folder: Path, *arguments: str, text: str) -> None:
    """Install wheels into a folder, whichever platform and Python they are for."""
    options = ("--quiet", "--only-binary", ":all:", "--target", str(folder))
    uv("pip", "install", *options, *arguments, "--requirement", "-", text=text)


def provided(folder: Path) -> Iterator[str]:
    """Yield the names of distributions, and of their modules and commands."""
    for distribution in distributions(path=[str(folder)]):
        yield distribution.name
        yield from (entry.name for entry in distribution.entry_points if "scripts" in entry.group)
        yield from modules(distribution)


def modules(distribution: Distribution) -> Iterator[str]:
    """Yield the top-level modules, and the files in `bin`."""
    for path in distribution.files or ():
        if path.parts[0] == "bin" or path.parts[:-1] == ("..", "..", "bin"):
            yield path.name.removesuffix(".exe")
        elif len(path.parts) > 1 and not path.parts[0].endswith((".dist-info", ".libs", "..")):
            yield path.parts[0]
        elif path.suffix in (".py", ".so", ".pyd"):
            yield path.name.partition(".")[0]


def optional_imports(folder: Path) -> Iterator[str]:
    """Yield the modules that a dependency tries to import: a project's would be taken for them."""
    for path in folder.rglob("*.py"):
        for statement in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(statement, ast.Try):
                yield from imports(statement.body)


def imports(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield the modules that statements import by absolute names."""
    for node in (node for statement in body for node in ast.walk(statement)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def dependencies() -> set[str]:
    """Name everything that a project installs or tries to import, in any variant."""
    names: list[str] = []
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "all"
        options = ("--no-deps", "--python-version", NEWEST_PYTHON)
        install(folder, *options, text="\n".join(resolution()))
        names += [*provided(folder), *optional_imports(folder)]
        for platform in ("linux", "macos", "windows"):
            for python in (OLDEST_PYTHON, NEWEST_PYTHON):
                folder = Path(temporary) / platform / python
                target = ("--python-platform", platform, "--python-version", python)
                install(folder, *target, text="\n".join(requirements()))
                names += provided(folder)
    return slugs(names)


def standard_library() -> set[str]:
    """Name the modules of every supported Python, and Python's own tests."""
    listed = uv("run", "--no-project", "--with", "stdlibs", "python", "-c", STANDARD_LIBRARIES)
    return slugs([*listed.split(), *sys.stdlib_module_names, "test"])


def environment_commands() -> set[str]:
    """Name what a virtual environment has in `bin` or `Scripts`, made by uv or by `venv`."""
    names = ["pythonw", "pip3"]  # on Windows, and where uv makes the environment
    with TemporaryDirectory() as temporary:
        uv("venv", "--quiet", f"{temporary}/uv")
        subprocess.run([sys.executable, "-m", "venv", f"{temporary}/venv"], check=True)
        scripts = Path(sysconfig.get_path("scripts", vars={"base": ""})).name
        for tool in ("uv", "venv"):
            names += [path.stem for path in (Path(temporary) / tool / scripts).iterdir()]
    return slugs(names)


def ignored_folders() -> set[str]:
    """Name the folders that ruff, pytest, mypy and the project's git ignore."""
    settings = subprocess.run(
        [find("ruff") or "ruff", "check", "--isolated", "--show-settings"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout
    excluded = re.search(r"file_resolver\.exclude = \[(.*?)\]", settings, re.DOTALL)
    assert excluded is not None
    pytest_config = get_config()
    pytest_config.parse(["-c", os.devnull, "-p", "no:cacheprovider"])
    gitignore = TEMPLATE / "{{cookiecutter.project_slug}}" / ".gitignore"
    return slugs(
        [
            *re.findall('"(.*?)"', excluded[1]),
            *pytest_config.getini("norecursedirs"),
            *MYPY_IGNORES,
            *re.findall("^([^*]+)/$", gitignore.read_text(encoding="utf-8"), re.MULTILINE),
        ]
    )


def constant(name: str, members: set[str]) -> str:
    """Write a frozen set of words as Python."""
    lines = textwrap.wrap(" ".join(sorted(members)), 95, break_on_hyphens=False)
    body = "\n".join(f"    {line}" for line in lines)
    return f'{name} = frozenset(\n    """\n{body}\n    """.split()\n)\n'


def main() -> None:
    """Write the names into the hook."""
    known = standard_library()
    constants = (
        constant("STANDARD_LIBRARY", known),
        constant("DEPENDENCIES", dependencies() - known),
        constant("ENVIRONMENT_COMMANDS", environment_commands() - known),
        constant("IGNORED_FOLDERS", ignored_folders()),
    )
    source = HOOK.read_text(encoding="utf-8")
    before, after = source.partition(START)[0], source.partition(END)[2]
    HOOK.write_text(f"{before}{START}{''.join(constants)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
