"""How a comparison of configurations looks: seeds folded, each difference with its interval and whether it is noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from mcp_server.analysis.compare import Comparison, Difference
from mcp_server.analysis.naming import direction_of, is_resource
from mcp_server.analysis.sweeps.repeats import is_bookkeeping, is_seed
from mcp_server.analysis.sweeps.significance import CONFIDENCE, Contrast, SeedComparison, compare_seed_groups
from mcp_server.listing import listed
from mcp_server.mlflow_integration.entities import Run
from mcp_server.rendering import Table, number
from mcp_server.tools._comparison import configuration_texts
from mcp_server.tools._views import short_value

CELLS: Final = 60
"""Rows of groups times metrics in one comparison; more metrics have to be asked for."""


@dataclass(frozen=True, slots=True)
class SeedGroups:
    """The answer about configurations, and a sentence that explains it."""

    facts: dict[str, Any]
    hint: str


def seed_groups(runs: Sequence[Run], comparison: Comparison, *, asked: bool) -> SeedGroups | None:
    """The configurations of the runs with their metrics; None when no configuration was run under several seeds.

    Imports `scipy.special` (0.3 s the first time): call it in a thread.
    """
    if not comparison.repeats:
        return None
    quality = [metric.key for metric in comparison.metrics if asked or not is_resource(metric.key)]
    first = next(
        (one for key in quality if (one := compare_seed_groups(runs, key, baseline=comparison.baseline))), None
    )
    if first is None:
        return None
    labels = _labels(first)
    most = max(1, CELLS // max(len(first.groups), 1))
    rows: list[list[Any]] = []
    verdicts: list[str] = []
    for key in quality[:most]:
        found = compare_seed_groups(runs, key, baseline=comparison.baseline)
        if found is not None:
            rows += _rows(found, labels)
            verdicts += [found.verdict] if found.verdict else []
    left_out = quality[most:]
    columns = ["metric", "better", "group", "n", "mean", "std", "difference", "interval", "verdict"]
    more = f"More metrics, for metrics=: {', '.join(left_out[:20])}." if left_out else ""
    seeds = sorted({key for run in runs for key in run.params if is_seed(key)})
    hint = (
        f"Groups are runs that differ only in {', '.join(seeds)}; difference is the group's mean minus that of group "
        f"A, with a {CONFIDENCE:.0%} interval for all groups together."
    )
    return SeedGroups(
        {
            "conclusion": " ".join(verdicts[:3]),
            "groups": _groups(runs, first, labels, comparison.params),
            "metrics": Table(columns, rows, hint=more).without_empty(keep=6),
        },
        hint,
    )


def _labels(found: SeedComparison) -> dict[str, str]:
    """A letter for each group, by run id."""
    return {run_id: _letter(at) for at, group in enumerate(found.groups) for run_id in group.run_ids}


def _letter(at: int) -> str:
    return chr(ord("A") + at) if at < 26 else f"{_letter(at // 26 - 1)}{_letter(at % 26)}"


def _groups(runs: Sequence[Run], found: SeedComparison, labels: dict[str, str], params: Sequence[Difference]) -> Table:
    """What tells the groups apart: only params that differ between them."""
    by_id = {run.run_id: run for run in runs}
    differing = [one.key for one in params if not is_seed(one.key) and not is_bookkeeping(one.key)]
    texts = configuration_texts([by_id[group.run_ids[0]] for group in found.groups], differing)
    rows: list[list[Any]] = []
    for group, configuration in zip(found.groups, texts, strict=True):
        label = labels[group.run_ids[0]]
        rows.append([label, configuration, len(group.run_ids), listed([run_id[:10] for run_id in group.run_ids])])
    outside = [short_value(run.run_name or run.run_id) for run in runs if run.run_id not in labels]
    hint = f"Not in a group because they did not finish with a finite value: {listed(outside, 10)}." if outside else ""
    return Table(["group", "configuration", "n", "runs"], rows, hint=hint)


def _rows(found: SeedComparison, labels: dict[str, str]) -> list[list[Any]]:
    judged = not is_resource(found.metric)
    rows: list[list[Any]] = []
    for group in found.groups:
        spread, contrast = group.spread, group.contrast
        rows.append(
            [
                found.metric,
                direction_of(found.metric).direction if judged else "",
                labels.get(group.run_ids[0], "?"),
                spread.n,
                spread.mean,
                number(spread.std, 2) if spread.std is not None else "",
                contrast.difference if contrast else "",
                _interval(contrast),
                contrast.verdict if contrast else "",
            ]
        )
    return rows


def _interval(contrast: Contrast | None) -> str:
    if contrast is None or contrast.low is None or contrast.high is None:
        return contrast.reason if contrast and contrast.verdict == "cannot tell" else ""
    return f"{number(contrast.low, 3)} to {number(contrast.high, 3)}"
