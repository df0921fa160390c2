"""The command line: `python -m benchmarks`."""

import argparse
import json
import resource
import time
from dataclasses import asdict
from pathlib import Path

from . import compression, environment, exports, fanout, growth, latency, report, yielding

PARTS = {
    "exports": exports.run,
    "yield": yielding.run,
    "fanout": fanout.run,
    "growth": growth.run,
    "latency": latency.run,
    "compression": compression.run,
}


def main() -> None:
    """Measure the given parts, and write the report with the other parts' last results."""
    options = arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    results = options.output / "results.json"
    if not options.report:
        scale = environment.QUICK if options.quick else environment.FULL
        raise_file_limit()
        environment.prepare()
        for part in options.parts or PARTS:
            print(f"== {part}")
            start = time.monotonic()
            tables = [asdict(table) for table in PARTS[part](scale)]
            found = {
                "machine": environment.machine(),
                "versions": environment.versions(),
                "quick": scale.quick,
                "rounds": scale.rounds,
                "seconds": round(time.monotonic() - start),
                "tables": tables,
            }
            measured = json.loads(results.read_text()) if results.exists() else {}
            measured = {name: found if name == part else measured.get(name) for name in PARTS}
            kept = {name: value for name, value in measured.items() if value}
            results.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    report.write(results)
    print(options.output / "results.md")


def raise_file_limit() -> None:
    """Raise the limit of open files, also of child processes, to the maximum of the system."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"only these of: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rows, one round")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the report")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="a folder")
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"{part} is none of: {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    main()
