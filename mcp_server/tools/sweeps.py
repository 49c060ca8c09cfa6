"""analyze_params: which hyperparameters of a sweep moved a metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from mcp_server.analysis.param_effects import ParamAnalysis, ParamEffect, analyze_params as put_together, columns_of
from mcp_server.analysis.sweep import Sweep, sweep_of
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.all_runs import AllRuns, read_runs
from mcp_server.rendering import Record, Table, number
from mcp_server.suggestions import suggestion
from mcp_server.tools._context import OneEngine
from mcp_server.tools._params import Direction, ExperimentRefs, FilterString, MetricName, Since
from mcp_server.tools._params import _texts as texts
from mcp_server.untrusted import clip
from mcp_server.worker import compute

MOST_RUNS: Final = 5_000
"""Runs that one analysis reads, the newest."""
READING_PART: Final = 0.5
"""Part of the deadline that may go into reading them."""
MOST_FACTORS: Final = 40
"""Params that are analyzed; of more the first in alphabetical order, and the rest are named."""
OTHERS_SHOWN: Final = 12
"""Params without an effect that are listed."""
GROUPS_SHOWN: Final = 8
"""Values of one param."""
VALUE_LIMIT: Final = 40


async def analyze_params(
    engine: OneEngine,
    metric: MetricName,
    experiments: ExperimentRefs = (),
    direction: Direction = "",
    filter_string: FilterString = "",
    since: Since = "",
    params: Annotated[
        tuple[str, ...],
        BeforeValidator(texts),
        Field(max_length=MOST_FACTORS, description="Only these hyperparameters. Left out: all that vary."),
    ] = (),
) -> Record:
    """Tell which hyperparameters of a sweep matter for a metric: their effect, importance and best values.

    Seeds are folded as noise. Says out-of-bag R² first, tests each param with correction for many
    tests, and refuses to conclude from too few configurations.
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
    sweep = _chosen(sweep_of(found.runs, metric, direction=direction), params)
    request = columns_of(sweep)
    analysis = put_together(sweep, await compute("explain", request) if request else None)
    return _record(sweep, analysis, found, detailed=bool(params))
