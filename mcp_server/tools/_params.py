"""Parameter types that several tools share: each says its form and names the tool that lists its values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field

from mcp_server.tools._arguments import split_commas

CommaSeparated = BeforeValidator(split_commas)
"""For lists whose items hold no comma; clients send "a, b" for ["a", "b"]."""

ExperimentRef = Annotated[
    str, Field(description="Experiment id, exact name or UI link; search_experiments lists them.")
]
ExperimentRefs = Annotated[
    tuple[str, ...],
    Field(max_length=100, description="Experiment ids, names or UI links. Left out: the default, else all."),
]
RunRef = Annotated[str, Field(description="Run id, id prefix, exact name or UI link; search_runs lists them.")]
RunRefs = Annotated[
    tuple[str, ...],
    Field(min_length=1, max_length=100, description="Runs by id, id prefix, exact name or UI link."),
]
FilterString = Annotated[
    str,
    Field(
        max_length=20_000,
        description="MLflow filter, clauses joined by and: metrics.accuracy > 0.9 and params.model = 'cnn' and "
        "tags.team = 'vision' and attributes.status = 'FINISHED'. No or, no parentheses.",
    ),
]
OrderBy = Annotated[
    tuple[str, ...],
    CommaSeparated,
    Field(max_length=5, description="Such as metrics.accuracy DESC, params.lr ASC, attributes.start_time DESC."),
]
Since = Annotated[
    str,
    Field(description="Only runs started since: 30m, 24h, 7d, 2w back from now, or a date such as 2026-11-20 (UTC)."),
]
SameFilter = Annotated[str, Field(max_length=20_000, description="As in search_runs.")]
SameSince = Annotated[str, Field(description="As in search_runs, such as 7d.")]
"""Both are described once, where they are used most: tools/list has a budget."""
MaxResults = Annotated[int, Field(ge=1, le=1_000, description="Rows per page.")]
PageToken = Annotated[
    str, Field(max_length=40_000, description="next_page_token of the page before; repeat the other arguments.")
]
MetricName = Annotated[str, Field(min_length=1, description="Metric name, such as val_loss.")]
MetricNames = Annotated[
    tuple[str, ...], CommaSeparated, Field(max_length=50, description="Metric names. Left out: all.")
]
ParamNames = Annotated[
    tuple[str, ...],
    CommaSeparated,
    Field(max_length=40, description="Only these hyperparameters. Left out: all that vary."),
]
Direction = Annotated[
    Literal["auto", "max", "min"],
    Field(description="Whether higher (max) or lower (min) is better; auto infers it from the name and reports it."),
]
NameContains = Annotated[str, Field(description="Part of the name, in any case.")]


def _texts_by_name(values: object) -> object:
    """Params and tags are stored as text: lists and mappings as JSON, everything else as Python spells it."""
    if not isinstance(values, dict):
        return values
    return {
        key: value if isinstance(value, str) else json.dumps(value) if isinstance(value, list | dict) else str(value)
        for key, value in cast("dict[str, Any]", values).items()
    }


# The schema takes values of any kind; tools get texts.
Params = Annotated[
    Mapping[str, str],
    BeforeValidator(_texts_by_name),
    Field(description="Parameters by name; stored as text.", json_schema_extra={"additionalProperties": True}),
]
Tags = Annotated[
    Mapping[str, str],
    BeforeValidator(_texts_by_name),
    Field(description="Tags by name; stored as text.", json_schema_extra={"additionalProperties": True}),
]
Metrics = Annotated[
    dict[str, Any],
    Field(
        description="Metrics by name: a number, or a series of [step, value] or [step, value, timestamp_ms]. "
        "'NaN' and 'Infinity' are taken as text."
    ),
]
Datasets = Annotated[
    list[dict[str, str]],
    Field(description="Dataset inputs: name, and if known digest, source, source_type, context (such as training)."),
]
RunName = Annotated[str, Field(max_length=250, description="Name of the run. Left out: MLflow makes one up.")]
Description = Annotated[str, Field(max_length=8_000, description="Free text shown with it in MLflow.")]
ParentRun = Annotated[str, Field(description="Run that this one is nested under: id, prefix, name or UI link.")]
Key = Annotated[
    str,
    Field(
        max_length=200,
        description="Your own unique text. The same call with the same key never makes a second run.",
    ),
]
EndStatus = Annotated[Literal["FINISHED", "FAILED", "KILLED"], Field(description="How the run ended.")]
ModelName = Annotated[str, Field(min_length=1, description="Registered model name; search_models lists them.")]
Alias = Annotated[str, Field(max_length=255, description="Alias, such as champion.")]
Versions = Annotated[
    tuple[str, ...],
    CommaSeparated,
    Field(min_length=2, max_length=10, description="Version numbers or aliases, the baseline first."),
]
Version = Annotated[str, Field(description="Version number, alias, or latest.")]
