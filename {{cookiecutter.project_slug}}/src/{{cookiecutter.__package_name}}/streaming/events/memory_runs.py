"""The runs of one process: they are in its memory and end with it."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic

from .runs import Run, Runs, RunStatus

MAX_ENDED = 10_000
"""Number of ended runs that are kept."""


@dataclass(eq=False)
class MemoryRuns(Runs):
    """The runs of a service that has one process."""

    _runs: dict[str, Run] = field(default_factory=dict, init=False)
    _keys: dict[str, Run] = field(default_factory=dict, init=False)
    _ended: deque[tuple[float, Run]] = field(default_factory=deque, init=False)

    def are_running(self, topics: Iterable[str]) -> bool:
        """Return whether one of `topics` is that of a run which has not ended."""
        return any(topic.removeprefix("run-") in self._callers for topic in topics)

    async def find(self, id: str) -> Run | None:
        """Implement `Runs.find`."""
        self._evict()
        return self._runs.get(id)

    async def _claim(self, run: Run, *, create: bool, replace: bool = False) -> Run | None:
        self._evict()
        known = None if replace else self._keys.get(run.key)
        if create and not known:
            self._runs[run.id] = run
            if run.key:
                self._keys[run.key] = run
        return known

    async def _decide(self, id: str, status: RunStatus) -> RunStatus | None:
        run = self._runs.get(id)
        if run and run.status == "running":
            run.status = status
            self._ended.append((monotonic(), run))
        return run.status if run else None

    def _evict(self) -> None:
        expired = monotonic() - self.retention
        while self._ended and (len(self._ended) > MAX_ENDED or self._ended[0][0] < expired):
            _, run = self._ended.popleft()
            del self._runs[run.id]
            if self._keys.get(run.key) is run:
                del self._keys[run.key]
