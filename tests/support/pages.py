"""A page of documentation as its reader follows it: code to paste and commands to run."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
ELLIPSIS = "..."
"""A statement of a block that stands for code that stays."""


@dataclass(frozen=True)
class Block:
    """A code block, in a language as Markdown names it."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """The path that the first line names."""
        first = self.text.partition("\n")[0]
        assert first.startswith("# "), f"the first line of a block is its file: {first}"
        return first.removeprefix("# ")

    @property
    def code(self) -> str:
        """The lines after the first."""
        return self.text.partition("\n")[2]

    @property
    def commands(self) -> Iterator[tuple[str, str]]:
        """The commands of a console, each with the output that is shown."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def sections(page: str) -> dict[str, list[Block]]:
    """Return the blocks of a page by the headings of its sections."""
    _, *parts = HEADING.split(page)
    return {
        heading: [Block(*found) for found in FENCE.findall(text)]
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }


def is_shown(shown: str, output: str) -> bool:
    """Return whether `output` is what a page shows, in which `…` stands for any characters."""
    pattern = ".+".join(map(re.escape, shown.strip().split("…")))
    return re.fullmatch(pattern, output.strip()) is not None


def paste(block: Block, folder: Path) -> None:
    """Write a block to its file: as a whole if it has a docstring, else into what is there."""
    file = folder / block.file
    code = block.code
    if not ast.get_docstring(ast.parse(code)):
        code = merged(file.read_text(encoding="utf-8"), code)
    file.parent.mkdir(exist_ok=True)
    file.write_text(code, encoding="utf-8")


def merged(text: str, code: str) -> str:
    """Return `text` with the definitions of `code`, and its imports after the others."""
    lines = text.splitlines()
    module, block = ast.parse(text).body, ast.parse(code).body
    imports = [node for node in block if is_import(node)]
    last = max((node.end_lineno or 0 for node in module if is_import(node)), default=1)
    edits = [(last, last, source(node, code)) for node in imports]
    others = [node for node in block if node not in imports]
    edits += edits_of(module, others, code, len(lines))
    edits.sort(key=lambda edit: edit[0])
    # From the last one to the first, so that the numbers of lines stay right.
    for start, end, new in reversed(edits):
        lines[start:end] = new
    return "\n".join(lines) + "\n"


Edit = tuple[int, int, list[str]]
"""The number of lines before an edit, the number of the last line that it replaces, new lines."""


def edits_of(
    present: Sequence[ast.stmt], new: Sequence[ast.stmt], code: str, end: int
) -> Iterator[Edit]:
    """Yield the edits that replace statements by new ones of the same names, and add the others.

    A statement is added after the one before it in the block, or before the next one, or at `end`.
    """
    found = [next((old for old in present if is_same(old, node)), None) for node in new]
    position = next((first_line(old) - 1 for old in found if old), end)
    for node, old in zip(new, found, strict=True):
        if ast.unparse(node) == ELLIPSIS:
            position = end
        elif old is None:
            yield position, position, source(node, code)
        else:
            position = old.end_lineno or end
            body: list[ast.stmt] = getattr(node, "body", [])
            if body and ast.unparse(body[0]) == ELLIPSIS:
                yield from edits_of(getattr(old, "body", []), body, code, position)
            elif ast.unparse(old) != ast.unparse(node):
                yield first_line(old) - 1, position, source(node, code)


def is_import(node: ast.stmt) -> bool:
    """Return whether a statement imports."""
    return isinstance(node, ast.Import | ast.ImportFrom)


def is_same(old: ast.stmt, new: ast.stmt) -> bool:
    """Return whether statements are equal or define the same name."""
    name = name_of(new)
    return ast.unparse(old) == ast.unparse(new) or (name is not None and name == name_of(old))


def name_of(node: ast.stmt) -> str | None:
    """Return the name that a definition or an assignment defines."""
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0])
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.target)
    return getattr(node, "name", None)


def first_line(node: ast.stmt) -> int:
    """Return the number of the first line of a statement, decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])


def source(node: ast.stmt, code: str) -> list[str]:
    """Return the lines of a statement in `code`."""
    return code.splitlines()[first_line(node) - 1 : node.end_lineno]
