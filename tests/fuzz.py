"""Let coverage lead one of a project's own Hypothesis tests, for as long as wanted.

Run it in a generated project, with the test and libFuzzer's options:

    uv run --with atheris python PATH/TO/tests/fuzz.py \
        tests.exports.test_csv:test_every_row_is_read_back_cell_by_cell -max_total_time=600
"""

import sys
from importlib import import_module
from pathlib import Path

import atheris


def main() -> None:
    """Run the test that is named first."""
    module, _, name = sys.argv[1].partition(":")
    sys.path.insert(0, str(Path.cwd()))
    with atheris.instrument_imports(include=[path.name for path in Path("src").iterdir()]):
        test = getattr(import_module(module), name)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
