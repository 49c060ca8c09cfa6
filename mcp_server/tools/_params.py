"""Parameter types that several tools share: each says its form and names the tool that lists its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, cast

from pydantic import BeforeValidator, Field


def _text(value: object) -> object:
    """Models often send the number 5 for the id "5"."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _texts(value: object) -> object:
    """One name is a list of one; the SDK has already read lists that came as JSON text."""
    items = [value] if isinstance(value, str | int) and not isinstance(value, bool) else value
    return [_text(item) for item in cast("Sequence[object]", items)] if isinstance(items, list | tuple) else items


Text = Annotated[str, BeforeValidator(_text)]

ExperimentRef = Annotated[
    Text, Field(description="Experiment id, exact name or UI link; search_experiments lists them.")
]
ExperimentRefs = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts),
    Field(description="Experiment ids, names or UI links. Left out: the default experiment, else all."),
]
RunRef = Annotated[Text, Field(description="Run id, unique id prefix, exact name or UI link; search_runs lists them.")]
RunRefs = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts),
    Field(min_length=1, max_length=100, description="Runs by id, unique id prefix, exact name or UI link."),
]
FilterString = Annotated[
    str,
    Field(
        description="MLflow filter, clauses joined by and: metrics.accuracy > 0.9 and params.model = 'cnn' and "
        "tags.team = 'vision' and attributes.status = 'FINISHED'. No or, no parentheses."
    ),
]
OrderBy = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts),
    Field(max_length=5, description="Such as metrics.accuracy DESC, params.lr ASC, attributes.start_time DESC."),
]
Since = Annotated[
    str,
    Field(description="Only runs started since: 30m, 24h, 7d, 2w back from now, or a date such as 2026-11-20 (UTC)."),
]
MaxResults = Annotated[int, Field(ge=1, le=1_000, description="Rows per page.")]
PageToken = Annotated[str, Field(description="next_page_token of the page before; repeat the other arguments.")]
MetricName = Annotated[str, Field(min_length=1, description="Metric name, such as val_loss.")]
MetricNames = Annotated[
    tuple[str, ...], BeforeValidator(_texts), Field(max_length=50, description="Metric names. Left out: all.")
]
Direction = Annotated[
    Literal["", "max", "min"],
    Field(description="Whether higher (max) or lower (min) is better. Left out: judged by the name, and said."),
]
NameContains = Annotated[str, Field(description="Part of the name, in any case.")]

Params = Annotated[dict[str, Any], Field(description="Parameters by name; stored as text.")]
Tags = Annotated[dict[str, Any], Field(description="Tags by name; stored as text.")]
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
ParentRun = Annotated[Text, Field(description="Run that this one is nested under: id, prefix, name or UI link.")]
Key = Annotated[
    str,
    Field(
        max_length=200,
        description="Your own unique text for this run. The same call with the same key returns or completes the "
        "first run and never makes a second.",
    ),
]
EndStatus = Annotated[Literal["FINISHED", "FAILED", "KILLED"], Field(description="How the run ended.")]
ModelName = Annotated[str, Field(min_length=1, description="Registered model name; search_models lists them.")]
Alias = Annotated[str, Field(max_length=255, description="Alias, such as champion.")]
Versions = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts),
    Field(min_length=2, max_length=10, description="Version numbers or aliases, the baseline first."),
]
Version = Annotated[Text, Field(description="Version number, alias, or latest.")]

NOTHING: Final[dict[str, Any]] = {}
"""Default of mappings; never written to."""
