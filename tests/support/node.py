"""Clients in JavaScript: programs and a page of `tests/npm`."""

import json
from pathlib import Path
from typing import Any

from support.tools import TEMPLATE, lacking, require, succeed

NPM = TEMPLATE / "tests" / "npm"


def require_packages() -> str:
    """Return the path of Node.js; without it or its packages skip the test, or fail under CI."""
    node = require("node")
    if not (NPM / "node_modules").is_dir():
        lacking("the npm packages are not installed: run `npm ci` in tests/npm")
    return node


def run_program(name: str, *arguments: str) -> Any:  # noqa: ANN401
    """Run a program; return the JSON that it prints."""
    return json.loads(succeed(require_packages(), str(NPM / name), *arguments))


def build(name: str, folder: Path) -> str:
    """Return the script of a page with all of its packages."""
    require_packages()
    script = folder / "page.js"
    options = ("--bundle", "--define:process.env.NODE_ENV='production'", f"--outfile={script}")
    succeed(str(NPM / "node_modules/.bin/esbuild"), str(NPM / name), *options)
    return script.read_text(encoding="utf-8")
