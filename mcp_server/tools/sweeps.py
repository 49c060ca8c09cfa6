"""analyze_params: which hyperparameters of a sweep moved a metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from mcp_server.analysis.sweeps import param_effects
from mcp_server.analysis.sweeps.param_effects import ParamAnalysis, ParamEffect
from mcp_server.analysis.sweeps.sweep import Sweep, sweep_of
from mcp_server.errors import InvalidInputError
from mcp_server.listing import listed
from mcp_server.mlflow_integration.operations.all_runs import AllRuns, read_runs
from mcp_server.rendering import Record, Table, number
from mcp_server.suggestions import suggestion
from mcp_server.tools._context import OneEngine
from mcp_server.tools._params import Direction, ExperimentRefs, MetricName, ParamNames, SameFilter, SameSince
from mcp_server.tools._views import VALUE_LIMIT
from mcp_server.untrusted import clip
from mcp_server.worker import compute

MOST_RUNS: Final = 5_000
"""Runs that one analysis reads, the newest."""
READING_PART: Final = 0.5
"""Part of the deadline that may be spent on reading them."""
MOST_FACTORS: Final = 40
"""Params that are analyzed when the caller names none; the rest are listed."""
OTHERS_SHOWN: Final = 12
"""Params without an effect that are listed."""
GROUPS_SHOWN: Final = 8
"""Values of one param that are listed, the best always among them."""


async def analyze_params(
    engine: OneEngine,
    metric: MetricName,
    experiments: ExperimentRefs = (),
    direction: Direction = "auto",
    filter_string: SameFilter = "",
    since: SameSince = "",
    params: ParamNames = (),
) -> Record:
    """Tell which hyperparameters of a sweep matter for a metric: effect, importance, interactions, best values.

    Seeds are folded as noise; too few configurations give no conclusion.
    """
    found = await read_runs(
        engine.tracking,
        experiments,
        filter_string=filter_string,
        since=since,
        most=MOST_RUNS,
        seconds=engine.settings.timeout_seconds * READING_PART,
    )
    if not found.runs:
        return Record({"metric": metric, "runs": 0}, hint=found.why_empty)
    sweep = sweep_of(found.runs, metric, direction=direction)
    chosen = _chosen(sweep, params)
    request = param_effects.columns_of(chosen)
    analysis = param_effects.analyze_params(chosen, await compute("explain", request) if request else None)
    return _record(chosen, analysis, _hint(sweep, chosen, analysis, found))


def _chosen(sweep: Sweep, params: Sequence[str]) -> Sweep:
    """The sweep with the factors asked for. Raises: InvalidInputError: one does not vary, or there is none such."""
    if not params:
        return replace(sweep, factors=sweep.factors[:MOST_FACTORS])
    by_name = {name: factor for factor in sweep.factors for name in (factor.key, *factor.same_as)}
    for name in params:
        if name in sweep.constants:
            raise InvalidInputError(
                f"Param '{name}' is '{clip(sweep.constants[name], VALUE_LIMIT)}' in all these runs."
            )
        if name in (*sweep.seeds, *sweep.identifiers):
            raise InvalidInputError(f"Param '{name}' is treated as a seed or a run name, not as a choice.")
        if name in sweep.sparse:
            raise InvalidInputError(
                f"Param '{name}' has too many values for {len(sweep.configurations)} configurations."
            )
        if name not in by_name:
            raise InvalidInputError(f"No varying param '{name}' in these runs. {suggestion(name, by_name)}")
    factors = {by_name[name].key: by_name[name] for name in params}
    return replace(sweep, factors=tuple(factors.values()))


def _record(sweep: Sweep, analysis: ParamAnalysis, hint: str) -> Record:
    shown = [*analysis.moved, *analysis.others[:OTHERS_SHOWN]]
    # The groups of params without an effect are chance; they are shown where nothing is concluded, or they are few.
    detailed = shown if not analysis.concluded or len(shown) <= len(analysis.moved) + 3 else analysis.moved
    return Record(
        {
            "verdict": analysis.verdict,
            "metric": analysis.metric,
            "direction": analysis.direction,
            "direction_reason": sweep.direction_reason,
            "configurations": len(sweep.configurations),
            "runs": sweep.runs,
            "seed_noise_std": sweep.noise.std if sweep.noise else None,
            "effects": _effects(shown, analysis) if shown else None,
            "values": _groups(detailed) if detailed else None,
            "interactions": _interactions(analysis) if analysis.interactions else None,
            "left_out": dict(sweep.left_out),
        },
        hint=hint,
    )


def _effects(effects: Iterable[ParamEffect], analysis: ParamAnalysis) -> Table:
    # Where the forest predicts nothing, what permuting a column changes is chance.
    useful = analysis.oob_r2 is not None and analysis.oob_r2 > 0.0
    rows = [
        [
            effect.name,
            "yes" if effect.p is not None else "no" if analysis.concluded else "",
            f"{effect.p:.1g}" if effect.p is not None else "",
            "" if effect.rank_correlation is None else number(effect.rank_correlation, 2),
            number(max(effect.importance, 0.0), 2) if useful and effect.importance is not None else "",
            clip(effect.best_group, VALUE_LIMIT) if effect.p is not None else "",
        ]
        for effect in effects
    ]
    columns = ["param", "effect", "p", "rank_correlation", "importance", "best_value"]
    return Table(columns, rows).without_empty(keep=1)


def _groups(effects: Iterable[ParamEffect]) -> Table:
    rows: list[list[Any]] = []
    for effect in effects:
        groups = [group for group in effect.groups if group.label == effect.best_group]
        groups += [group for group in effect.groups if group.label != effect.best_group]
        kept = groups[:GROUPS_SHOWN]
        for group in (group for group in effect.groups if group in kept):
            std = "" if group.spread.std is None else number(group.spread.std, 2)
            label = clip(group.label, VALUE_LIMIT)
            rows.append([effect.param, label, group.spread.mean, std, group.spread.n, group.best, group.best_run[:12]])
    return Table(["param", "value", "mean", "std", "n", "best", "best_run_id"], rows)


def _interactions(analysis: ParamAnalysis) -> Table:
    rows = [
        [" and ".join(one.params), f"{one.p:.1g}", " with ".join(clip(label, VALUE_LIMIT) for label in one.best)]
        for one in analysis.interactions
    ]
    return Table(["params", "p", "best_together"], rows)


def _hint(sweep: Sweep, chosen: Sweep, analysis: ParamAnalysis, found: AllRuns) -> str:
    hints: list[str] = []
    if not found.complete:
        hints.append(
            f"Only the newest {len(found.runs):,} runs were read; narrow with since or filter_string for others."
        )
    places = len({run.experiment_id for run in found.runs})
    if places > 1:
        hints.append(f"These runs come from {places} experiments; name one if they differ in data or task.")
    if analysis.concluded:
        hints.append(
            "effect: partial F test, p corrected for the params tried; importance: fall of the out-of-bag R² when the "
            "param is shuffled; mean ± std over n configurations. An observed effect need not be a cause."
        )
    if analysis.inseparable:
        hints.append(f"Varied together with params that have an effect: {', '.join(analysis.inseparable)}.")
    ignored = [*sweep.seeds, *sweep.identifiers]
    if ignored:
        hints.append(f"Ignored as seeds or names: {_listed(ignored)}.")
    if sweep.sparse:
        hints.append(f"Too many values to judge: {_listed(sweep.sparse)}.")
    if sweep.constants:
        hints.append(f"The same everywhere: {_listed(list(sweep.constants))}.")
    if len(analysis.others) > OTHERS_SHOWN:
        hints.append(f"Also without an effect: {_listed([one.param for one in analysis.others[OTHERS_SHOWN:]])}.")
    if len(chosen.factors) == MOST_FACTORS < len(sweep.factors):
        rest = [factor.key for factor in sweep.factors[MOST_FACTORS:]]
        hints.append(f"Not analyzed: {_listed(rest)}; params= chooses the params to analyze.")
    return " ".join(hints)


def _listed(names: Sequence[str]) -> str:
    return listed([clip(name, VALUE_LIMIT) for name in names], 8)
