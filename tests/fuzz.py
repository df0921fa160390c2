r"""Run a Hypothesis test of the engine under coverage-guided fuzzing (Atheris).

Run it in a generated project with a copy of `tests/engine`, with the test and libFuzzer's options:

    uv run --with atheris --with hypothesis python PATH/TO/tests/fuzz.py \
        tests.engine.exports.test_csv:test_rows_are_read_back_cell_by_cell -max_total_time=600
"""

import sys
from importlib import import_module
from pathlib import Path

import atheris


def main() -> None:
    """Fuzz the test that the first argument names."""
    module, _, name = sys.argv[1].partition(":")
    sys.path.insert(0, str(Path.cwd()))
    with atheris.instrument_imports(include=[path.name for path in Path("src").iterdir()]):
        test = getattr(import_module(module), name)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
