"""Waiting for runs: polls all of them with one request a round until something happens to one."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import anyio

from mcp_server.comparisons import TESTS
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.runs import Tracking
from mcp_server.mlflow_integration.operations.searching.filters import parse_filter

Happening = Literal["ended", "condition met", "NaN", "stalled"]

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 5.0
"""Seconds between two rounds; they grow from the first to the longest."""
STALLS_CHECKED: Final = 10
"""Runs whose clocks are read when the waiting begins, one curve each."""
GOING: Final = ("RUNNING", "SCHEDULED")

_THRESHOLD: Final = re.compile(r"(>=|<=|!=|=|>|<)\s*(\S+)")

Progress = Callable[[float, Sequence[Run]], Awaitable[None]]
"""Is given the seconds that passed and the runs as they are."""
StallCheck = Callable[[Run], Awaitable[str]]
"""A sentence when a run stalled, else empty."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A metric, and the condition that its latest value has to meet."""

    text: str
    metric: str
    comparator: str
    limit: float

    def holds(self, run: Run) -> bool:
        value = run.metrics.get(self.metric)
        return value is not None and TESTS[self.comparator](value, self.limit)


@dataclass(frozen=True, slots=True)
class Event:
    run_id: str
    what: Happening
    detail: str


@dataclass(frozen=True, slots=True)
class Waited:
    runs: tuple[Run, ...]
    """As they were last seen."""
    events: tuple[Event, ...]
    seconds: float
    timed_out: bool


def thresholds_in(until: str) -> tuple[Threshold, ...]:
    """Conditions such as `metrics.val_loss < 0.2 and epoch >= 10`; a bare name is that of a metric.

    Raises: InvalidInputError: it cannot be read, or is about something else than metrics.
    """
    form = "Form: metrics.val_loss < 0.2, several joined by and. The end of a run always ends the wait."
    if not until.strip():
        return ()
    named = re.sub(r"(?i)(^|\band\s+)(?=[^\s.`'\"<>=!]+\s*[<>=!])", r"\1metrics.", until.strip())
    found: list[Threshold] = []
    for clause in parse_filter(named, argument="until"):
        match = _THRESHOLD.fullmatch(clause.condition)
        if clause.entity != "metrics" or match is None:
            raise InvalidInputError(f"until has the condition '{clause}', which is not about a metric. {form}")
        found.append(Threshold(str(clause), clause.key, match[1], float(match[2])))
    return tuple(found)


async def wait_for_runs(
    tracking: Tracking,
    references: Sequence[str],
    thresholds: Sequence[Threshold] = (),
    *,
    for_all: bool,
    seconds: float,
    progress: Progress,
    stalled: StallCheck,
) -> Waited:
    """Ends when a run that was going ends, meets all thresholds, goes NaN or stalls; `for_all`: when all are done.

    Runs that have ended before count as done. A run that goes NaN or stalls ends the waiting in any case.
    Raises: NotFoundError: no such run.
    """
    began = anyio.current_time()
    before = {run.run_id: run for run in await tracking.get_runs(references)}
    now, pause = before, FIRST_PAUSE
    stuck = await _stalls(before.values(), stalled)
    while True:
        passed = anyio.current_time() - began
        events = [event for run in now.values() for event in _events(run, before[run.run_id], thresholds)]
        done = {event.run_id for event in events} | {run.run_id for run in before.values() if run.status not in GOING}
        urgent = [event for event in events if event.what == "NaN"]
        waiting = set(now) - done
        if (events and not for_all) or urgent or waiting <= {event.run_id for event in stuck}:
            events += [event for event in stuck if event.run_id in waiting]
            return Waited(tuple(now.values()), tuple(events), passed, timed_out=False)
        if passed >= seconds:
            return Waited(tuple(now.values()), tuple(events), passed, timed_out=True)
        await progress(passed, tuple(now.values()))
        await anyio.sleep(min(pause, seconds - passed))
        pause = min(pause * 1.5, LONGEST_PAUSE)
        now = {run.run_id: run for run in await tracking.get_runs(list(before))}


async def _stalls(runs: Iterable[Run], stalled: StallCheck) -> tuple[Event, ...]:
    """Runs that go on in name only, among the first `STALLS_CHECKED` that are going."""
    going = [run for run in runs if run.status in GOING][:STALLS_CHECKED]
    checked = [(run, await stalled(run)) for run in going]
    return tuple(Event(run.run_id, "stalled", why) for run, why in checked if why)


def _events(run: Run, before: Run, thresholds: Sequence[Threshold]) -> Sequence[Event]:
    """What happened to a run that was going when the waiting began."""
    if before.status not in GOING:
        return ()
    events: list[Event] = []
    if run.status not in GOING:
        events.append(Event(run.run_id, "ended", run.status))
    if thresholds and all(threshold.holds(run) for threshold in thresholds):
        values = ", ".join(f"{one.metric} = {run.metrics[one.metric]:.6g}" for one in thresholds)
        events.append(Event(run.run_id, "condition met", values))
    known = {key for key, value in before.metrics.items() if math.isnan(value)}
    gone = [key for key, value in run.metrics.items() if math.isnan(value) and key not in known]
    if gone:
        events.append(Event(run.run_id, "NaN", ", ".join(sorted(gone)[:5])))
    return events
