"""A dataset of a run in one line: name, digest, what it was used for, where it is and its columns."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from mcp_server.listing import listed
from mcp_server.mlflow_integration.entities import Dataset
from mcp_server.untrusted import shown, without_secrets

SOURCE_SHOWN: Final = 200
"""Characters of a source."""
COLUMNS_NAMED: Final = 8

_SOURCE_KEYS: Final = ("uri", "url", "path", "table_name", "delta_table_name", "query", "sql")
"""Where the sources of MLflow's own kinds say what they are. Source: mlflow/data/*_source.py."""


def dataset_text(dataset: Dataset) -> str:
    """Such as `churn digest a1b2 (training) from s3://bucket/churn.csv; columns: age long, plan string`."""
    digest = f"digest {dataset.digest}" if dataset.digest else ""
    text = " ".join(filter(None, [dataset.name, digest, f"({dataset.context})" if dataset.context else ""]))
    source = _source(dataset.source)
    if source and source != dataset.name:
        text += f" from {shown(without_secrets(source), SOURCE_SHOWN)}"
    columns = _columns(dataset.schema)
    return f"{text}; columns: {listed(columns, COLUMNS_NAMED)}" if columns else text


def _source(text: str) -> str:
    """MLflow stores the source as JSON, of a form that depends on its kind."""
    found = _parsed(text)
    if isinstance(found, dict):
        values = cast("dict[str, Any]", found)
        return next((str(values[key]) for key in _SOURCE_KEYS if values.get(key)), "")
    return text


def _columns(schema: str) -> list[str]:
    """Names and types, where the schema is a list of them."""
    found = _parsed(schema)
    if isinstance(found, dict):
        values = cast("dict[str, Any]", found)
        found = next((values[key] for key in ("mlflow_colspec", "columns") if values.get(key)), None)
    if not isinstance(found, list):
        return []
    specs = [cast("dict[str, Any]", one) for one in cast("list[Any]", found) if isinstance(one, dict)]
    return [shown(f"{one['name']} {one.get('type', '')}".strip()) for one in specs if one.get("name")]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text) if text.startswith(("{", "[")) else None
    except (ValueError, RecursionError):
        return None
