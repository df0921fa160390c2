r"""Run a Hypothesis test of the engine under coverage-guided fuzzing (Atheris).

Run it in a generated project with a copy of `tests/engine`, with the test and libFuzzer's options:

    uv run --with atheris --with hypothesis python PATH/TO/tests/fuzz.py \
        tests.engine.exports.test_csv:test_rows_are_read_back_cell_by_cell -max_total_time=600

The inputs that it finds stay in `.fuzz`, for the next run of the test.
"""

import sys
from importlib import import_module
from pathlib import Path
from random import Random

import atheris

SEEDS, SEED_BYTES = 100, 4096
"""Random inputs to begin with: an example takes more bytes than libFuzzer finds by itself."""


def main() -> None:
    """Fuzz the test that the first argument names."""
    module, _, name = sys.argv[1].partition(":")
    sys.path.insert(0, str(Path.cwd()))
    with atheris.instrument_imports(include=[path.name for path in Path("src").iterdir()]):
        test = getattr(import_module(module), name)
    corpus = Path(".fuzz", name)
    corpus.mkdir(parents=True, exist_ok=True)
    chance = Random(0)
    for number in range(SEEDS):
        (corpus / str(number)).write_bytes(chance.randbytes(chance.randrange(SEED_BYTES)))
    options = ["-len_control=0", f"-max_len={SEED_BYTES}", *sys.argv[2:], str(corpus)]
    atheris.Setup([sys.argv[0], *options], test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
