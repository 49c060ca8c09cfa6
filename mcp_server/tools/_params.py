"""Parameter types that several tools share: each describes its form and names the tool that lists its values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.tag_values import stored_text
from mcp_server.tools._arguments import split_commas
from mcp_server.tools._content_forms import datasets, json_texts, milliseconds, series
from mcp_server.untrusted import shown

CommaSeparated = BeforeValidator(split_commas)
"""For lists whose items hold no comma; clients send "a, b" for ["a", "b"]."""

ExperimentRef = Annotated[str, Field(description="Experiment id, name or UI link; search_experiments lists them.")]
ExperimentRefs = Annotated[
    tuple[str, ...],
    Field(max_length=100, description="Experiment ids, names or UI links. Default: the server's, else all."),
]
RunRef = Annotated[str, Field(description="Run id, id prefix, exact name or UI link; search_runs lists them.")]
RunRefs = Annotated[
    tuple[str, ...],
    Field(min_length=1, max_length=100, description="Runs by id, id prefix, exact name or UI link."),
]


def _joined_by_and(value: object) -> object:
    """Clauses given as a list, as one filter."""
    if not isinstance(value, list):
        return value
    clauses = [one for one in cast("list[Any]", value) if isinstance(one, str)]
    return " and ".join(clauses) if len(clauses) == len(cast("list[Any]", value)) else cast(object, value)


FilterString = Annotated[
    str,
    BeforeValidator(_joined_by_and),
    Field(
        max_length=20_000,
        description="MLflow filter: metrics.accuracy > 0.9 and params.model = 'cnn' and tags.team LIKE '%a%' and "
        "status = 'FAILED' and params.lr < 0.01 and duration > '2h'. OR is not supported.",
    ),
]
OrderBy = Annotated[
    tuple[str, ...],
    CommaSeparated,
    Field(max_length=5, description="metrics.accuracy DESC, params.lr ASC, start_time DESC, duration DESC."),
]
Since = Annotated[
    str,
    Field(description="Earliest start: 24h, 7d, yesterday, last week, a date or a time (UTC)."),
]
Until = Annotated[str, Field(description="Latest start, in the same forms; a date includes the whole day.")]
Columns = Annotated[
    tuple[str, ...],
    CommaSeparated,
    Field(
        max_length=60,
        description="metrics.x, params.*, tags.x, start_time, duration, user, git_commit, datasets. Default: what "
        "tells runs apart.",
    ),
]
SameFilter = Annotated[str, BeforeValidator(_joined_by_and), Field(max_length=20_000, description="As in search_runs.")]
SameSince = Annotated[str, Field(description="As in search_runs, such as 7d.")]
"""Both are described once, where they are used most: tools/list has a budget."""
MaxResults = Annotated[int, Field(ge=1, le=1_000, description="Rows per page.")]
PageToken = Annotated[str, Field(max_length=40_000, description="next_page_token of the previous page.")]
MetricName = Annotated[str, Field(min_length=1, description="Metric name, such as val_loss.")]
MetricNames = Annotated[
    tuple[str, ...], CommaSeparated, Field(max_length=50, description="Metric names. Default: all.")
]
ParamNames = Annotated[
    tuple[str, ...],
    CommaSeparated,
    Field(max_length=40, description="Only these hyperparameters. Default: all that vary."),
]
_DIRECTIONS = {
    **dict.fromkeys(("maximize", "maximise", "maximum", "highest", "higher", "desc", "descending"), "max"),
    **dict.fromkeys(("minimize", "minimise", "minimum", "lowest", "lower", "asc", "ascending"), "min"),
}


def _direction(value: object) -> object:
    return _DIRECTIONS.get(value.strip().lower(), value) if isinstance(value, str) else value


Direction = Annotated[
    Literal["auto", "max", "min"],
    BeforeValidator(_direction),
    Field(description="Higher (max) or lower (min) is better; auto infers it from the name."),
]
NameContains = Annotated[str, Field(description="Part of the name, in any case.")]


def _texts_by_name(values: object) -> object:
    """Params and tags as the texts that MLflow stores."""
    if not isinstance(values, dict):
        return values
    return {key: stored_text(value) for key, value in cast("dict[str, Any]", values).items() if value is not None}


def _no_removal(values: object) -> object:
    """A change that sets a tag to null means to remove it; dropping it would look done."""
    if isinstance(values, dict):
        nulls = [key for key, value in cast("dict[str, Any]", values).items() if value is None]
        if nulls:
            raise ValueError(f"tags cannot be removed, only given another text ({', '.join(map(shown, nulls))})")
    return cast("object", values)


def _without_uri(name: object) -> object:
    """Raises: InvalidInputError: a URI that names a version too."""
    if not isinstance(name, str) or not (match := _MODEL_URI.fullmatch(name.strip())):
        return name
    if match["version"]:
        raise InvalidInputError(
            f"'{shown(name)}' is the URI of a version. Give name='{shown(match['name'])}' and "
            f"'{shown(match['version'])}' as the version."
        )
    return match["name"]


_MODEL_URI = re.compile(r"models:/+(?P<name>[^/@]+)(?:[/@](?P<version>.+))?")

_AsMilliseconds = BeforeValidator(milliseconds)
StartTime = Annotated[int | None, Field(ge=0, description="Start in UTC milliseconds. Default: now."), _AsMilliseconds]
EndTime = Annotated[int | None, Field(ge=0, description="End in UTC milliseconds. Default: now."), _AsMilliseconds]


# The schema accepts values of any kind; tools get texts.
Params = Annotated[
    Mapping[str, str],
    BeforeValidator(_texts_by_name),
    Field(description="Params by name; stored as text.", json_schema_extra={"additionalProperties": True}),
]
Tags = Annotated[
    Mapping[str, str],
    BeforeValidator(_texts_by_name),
    Field(description="Tags by name; stored as text.", json_schema_extra={"additionalProperties": True}),
]
ChangedTags = Annotated[Tags, BeforeValidator(_no_removal)]
Metrics = Annotated[
    dict[str, Any],
    BeforeValidator(series),
    Field(description="Metrics by name: a number, 'NaN', or a series of [step, value] or [step, value, timestamp_ms]."),
]
Datasets = Annotated[
    list[dict[str, str]],
    BeforeValidator(datasets),
    Field(description="Datasets: name, and if known digest, source, source_type, context (training), schema."),
]
RunName = Annotated[str, AfterValidator(str.strip), Field(max_length=250, description="Default: generated by MLflow.")]
TextFiles = Annotated[
    dict[str, str],
    BeforeValidator(json_texts),
    Field(description="Small text artifacts by path, such as {'notes.md': 'text'}."),
]
Description = Annotated[str, Field(max_length=8_000, description="Notes, as free text.")]
ParentRun = Annotated[str, Field(description="Run that this one is nested under.")]
Key = Annotated[
    str,
    Field(
        max_length=200,
        description="Your own unique text. The same call with the same key never creates a second run.",
    ),
]
EndStatus = Annotated[Literal["FINISHED", "FAILED", "KILLED"], Field(description="How the run ended.")]
ModelName = Annotated[
    str, BeforeValidator(_without_uri), Field(min_length=1, description="Registered model; search_models lists them.")
]
Alias = Annotated[
    str,
    AfterValidator(lambda alias: alias.strip().removeprefix("@")),
    Field(max_length=255, description="Alias, such as champion."),
]
Versions = Annotated[
    tuple[str, ...],
    CommaSeparated,
    Field(min_length=2, max_length=10, description="Version numbers or aliases, the baseline first."),
]
Version = Annotated[str, Field(description="Version number, alias, or latest.")]
