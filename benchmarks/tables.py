"""Tables of measured figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Table:
    """The figures of several ways to do one thing; names of columns include the unit."""

    title: str
    reference: str = ""
    """The row that the others are compared with, by their first column."""
    note: str = ""
    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Rows that could not be measured, with the reason."""

    def add(self, row: str, figures: Mapping[str, float]) -> None:
        """Add the figures of one round to a row."""
        print(
            f"{self.title} | {row}:",
            ", ".join(f"{name} {figure:.4g}" for name, figure in figures.items()),
        )
        for name, figure in figures.items():
            self.rows.setdefault(row, {}).setdefault(name, []).append(figure)

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(dict.fromkeys(name for figures in self.rows.values() for name in figures))

    def ratio(self, row: str) -> float | None:
        """Return the ratio of a row's median to that of the reference, in the first column."""
        if self.reference not in self.rows:
            return None
        column = self.columns[0]
        if column not in self.rows[row]:
            return None
        return median(self.rows[row][column]) / median(self.rows[self.reference][column])
