"""The report: Markdown and plots of the measured figures."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .tables import Table

mpl.use("svg")
mpl.rcParams |= {"svg.hashsalt": "benchmarks", "font.size": 9}

INK, OURS, REFERENCE, OTHERS = "#24292f", "#0969da", "#57606a", "#afb8c1"
"""Colours of plots, which have a white background on any page."""
OUR_ROW = "this template"
CSV_AND_NDJSON = ("SQLite: items as NDJSON", "SQLite: items as CSV")

Parts = Mapping[str, Mapping[str, Any]]


def write(results: Path) -> None:
    """Write `results.md` and the plots beside `results`, a JSON file."""
    parts: Parts = json.loads(results.read_text(encoding="utf-8"))
    markdown = "\n".join(document(parts))
    results.with_suffix(".md").write_text(markdown, encoding="utf-8")
    for name, plot in PLOTS.items():
        if name in parts:
            figure = Figure(figsize=(9, 4.2), layout="constrained", facecolor="white")
            plot(figure, tables(parts[name]))
            figure.suptitle(origin(parts[name]), fontsize=8, color=REFERENCE)
            figure.savefig(results.with_name(f"{name}.svg"), metadata={"Date": None})


def tables(part: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a part."""
    return [Table(**table) for table in part["tables"]]


def origin(part: Mapping[str, Any]) -> str:
    """Return the date, the machine and the version of a part's figures in one line."""
    machine, versions = part["machine"], part["versions"]
    rounds = "1 round" if part["rounds"] == 1 else f"{part['rounds']} rounds"
    quick = ", quick" if part["quick"] else ""
    return (
        f"{machine['date']}, {machine['cores']} cores of {machine['cpu']}, "
        f"CPython {versions['python']}, {rounds}{quick}"
    )


def document(parts: Parts) -> Iterator[str]:
    """Yield the lines of the Markdown."""
    yield "# Benchmarks\n"
    yield "Written by `python -m benchmarks`. Each round measures every row of a table once. A"
    yield "figure is the median of all rounds, followed by the lowest and the highest. A ratio"
    yield "compares medians of the first column. Ratios carry over to other machines, seconds do"
    yield "not."
    yield ""
    for name, part in parts.items():
        yield f"## {name.capitalize()}\n"
        yield f"{origin(part)}, {part['machine']['system']}.\n"
        for table in tables(part):
            yield from section(table)
    versions: dict[str, str] = {}
    for part in parts.values():
        versions |= part["versions"]
    yield "## Versions\n"
    yield ", ".join(f"{name} {version}" for name, version in versions.items()) + ".\n"


def section(table: Table) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"### {table.title}\n"
    if table.note:
        yield f"{table.note}\n"
    columns = table.columns
    ratio = [f"x {table.reference}"] if table.reference in table.rows else []
    yield line(["", *columns[:1], *ratio, *columns[1:]])
    yield line(["---", *["---:"] * (len(columns) + len(ratio))])
    for name, figures in table.rows.items():
        cells = [spread(figures.get(column, [])) for column in columns]
        ratios = [number(found) if (found := table.ratio(name)) else ""] if ratio else []
        yield line([name, *cells[:1], *ratios, *cells[1:]])
    for name, reason in table.skipped.items():
        yield line([name, f"skipped: {reason}", *[""] * (len(columns) + len(ratio) - 1)])
    yield ""


def line(cells: Sequence[str]) -> str:
    """Return one line of a table."""
    return f"| {' | '.join(cells)} |"


def spread(figures: Sequence[float]) -> str:
    """Return the median; of several figures also the lowest and the highest."""
    if not figures:
        return ""
    middle = number(median(figures))
    if len(figures) == 1:
        return middle
    return f"{middle} ({number(min(figures))}–{number(max(figures))})"


def number(value: float) -> str:
    """Return a number with three significant digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if value else "0"


def plot_exports(figure: Figure, measured: Sequence[Table]) -> None:
    """Draw the time of exports, relative to the tool of the database."""
    chosen = [table for table in measured if table.title in CSV_AND_NDJSON]
    for axes, table in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
        bars(axes, table, "time, s", f"{table.title}, time\n{table.reference} = 1.0, log scale")
        axes.set_xscale("log")
        axes.set_xlim(left=0.1)


def plot_fanout(figure: Figure, measured: Sequence[Table]) -> None:
    """Draw events per second and memory."""
    (table,) = measured
    steady, bursts, memory = figure.subplots(1, 3)
    bars(steady, table, "events/s", "Events/s to 1,000 subscribers,\none at a time", relative=False)
    bars(bursts, table, "bursts: events/s", "the same,\nin bursts of ten", relative=False)
    bars(memory, table, "KiB a subscriber", "KiB of memory\nan idle subscriber", relative=False)
    for axes in (bursts, memory):
        axes.set_yticks([])


PLOTS: dict[str, Callable[[Figure, Sequence[Table]], None]] = {
    "exports": plot_exports,
    "fanout": plot_fanout,
}


def bars(axes: Axes, table: Table, column: str, title: str, *, relative: bool = True) -> None:
    """Draw the medians of a column, with the range as whiskers."""
    rows = {name: figures[column] for name, figures in table.rows.items() if column in figures}
    unit = median(rows[table.reference]) if relative and table.reference in rows else 1.0
    for place, (name, figures) in enumerate(rows.items()):
        middle, low, high = (pick(figures) / unit for pick in (median, min, max))
        color = {OUR_ROW: OURS, table.reference: REFERENCE}.get(name, OTHERS)
        whiskers = [[middle - low], [high - middle]]
        axes.barh(place, middle, color=color, xerr=whiskers, error_kw={"ecolor": INK, "lw": 1})
        axes.annotate(
            number(middle), (high, place), (4, 0), textcoords="offset points", va="center"
        )
    names = [name.partition(" (")[0].replace(", ", ",\n", 1) for name in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.xaxis.set_visible(False)
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
