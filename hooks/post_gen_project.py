"""Remove what the answers leave out, then print where the project is and how to use it."""

import filecmp
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Answers = dict[str, Any]

WORK = Path(".cookiecutter")
"""The folder, in the project, in which the pre-generation hook left its plan."""

INCOMPLETE = "# Removed by the post-generation hook:"
"""The line above the statement that stops a project whose hooks were not run."""

YEAR = re.compile(r"(?<=^Copyright \(c\) )\d{4}|(?<=^   Copyright )\d{4}", re.MULTILINE)


def files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, symbolic links among them."""
    for path in list(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def apply_plan(project: Path) -> None:
    """Remove what the answers leave out, and restore the user's own files in those places.

    In a project that was generated without its hooks, a file that equals the template's is not the
    user's own.
    """
    plan = json.loads((project / WORK / "plan.json").read_text(encoding="utf-8"))
    kept = project / WORK / "kept"
    own = [
        path.relative_to(kept)
        for path in files(kept)
        if not plan["incomplete"] or not is_same(path, project / path.relative_to(kept))
    ]
    for path in plan["left_out"]:
        remove(project / path)
    for path in own:
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (kept / path).replace(project / path)
    shutil.rmtree(project / WORK)


def is_same(one: Path, other: Path) -> bool:
    """Return whether both are files of the same content."""
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def complete(module: Path) -> None:
    """Remove the statement that stops a project whose hooks were not run."""
    text = module.read_bytes().decode()
    if INCOMPLETE in text:
        module.write_bytes((text.partition(INCOMPLETE)[0].rstrip() + "\n").encode())


def is_temporary(generated: Path, answers: Answers) -> bool:
    """Return whether cruft generates to compare, in a folder such as `/tmp/tmp1a2b3c4d`.

    `cruft diff` generates the recorded answers so, `cruft update` the recorded and the new ones.
    """
    parent = generated.parent
    return (
        "_output_dir" not in answers  # of cookiecutter itself
        and parent.parent == Path(tempfile.gettempdir()).resolve()
        and re.fullmatch(r"tmp\w{8}", parent.name) is not None
    )


def recorded_answers(project: Path, answers: Answers) -> Answers | None:
    """Return the answers in the `.cruft.json` of a project; None if it is not the generated one."""
    try:
        record = json.loads((project / ".cruft.json").read_text(encoding="utf-8"))
        recorded: Answers = record["context"]["cookiecutter"]
    except (OSError, ValueError, LookupError):
        return None
    same = all(recorded.get(name) == answers.get(name) for name in ("_template", "project_slug"))
    return recorded if same else None


def keep_year(generated: Path, project: Path) -> None:
    """Write the year of the project's license into the generated one, for cruft to compare."""
    license_file = project / "LICENSE"
    year = license_file.is_file() and YEAR.search(license_file.read_text(encoding="utf-8"))
    if year:
        text = (generated / "LICENSE").read_bytes().decode()
        (generated / "LICENSE").write_bytes(YEAR.sub(year[0], text).encode())


def next_steps(project: Path, slug: str) -> str:
    """Write three lines: where the project is, how to run it and how to test it."""
    enter = f"cd {shlex.quote(str(project))}"
    return (
        f"Created:  {project}\n"
        f"Run it:   {enter} && uv run {slug} serve\n"
        f"Test it:  {enter} && uv run pytest"
    )


def main(answers: Answers) -> None:
    """Finish the project in the current directory."""
    generated = project = Path.cwd()
    if (generated / WORK).exists():
        apply_plan(generated)
    complete(generated / "src" / answers["__package_name"] / "__init__.py")
    if is_temporary(generated, answers):
        project = Path(os.environ.get("PWD", ""))
        recorded = recorded_answers(project, answers)
        if recorded:
            keep_year(generated, project)
        if not recorded or recorded == answers:
            return
    encoding = sys.stdout.encoding  # of a terminal that may lack the letters of the path
    lines = next_steps(project, answers["project_slug"]).encode(encoding, "backslashreplace")
    print(lines.decode(encoding))


if __name__ == "__main__":
    main(json.loads(r'''{{ cookiecutter | tojson }}'''))  # fmt: skip
