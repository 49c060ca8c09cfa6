"""Every tag name that is read or written. Names that begin with `mcp.` are reserved: no caller writes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mcp_server.names import comparable

RESERVED_PREFIX: Final = "mcp."
"""Tags of this server. Its promises depend on them, so every tool refuses them from a caller."""
MLFLOW_PREFIX: Final = "mlflow."
"""Tags of MLflow itself."""
INTERNAL_PREFIXES: Final = (MLFLOW_PREFIX, RESERVED_PREFIX)
"""Tags that describe how a run was made; tables of runs leave them out."""

RESERVED_TAG: Final = "Tag '{key}' is reserved: only this server writes tags that begin with 'mcp.'."
"""The error for a caller who tries to write one."""
RESERVED_PARAM: Final = "Param '{key}' is reserved: only this server writes params that begin with 'mcp.'."

REQUEST_KEY: Final = "mcp.request_key"
"""The idempotency key of the call that created a run or a model version."""
STATE: Final = "mcp.state"
"""How far the write of a run got: one of the three values below."""
WRITING: Final = "writing"
COMPLETE: Final = "complete"
"""Written with the last batch, so everything else is there."""
PARTIAL: Final = "partial"
"""The write stopped; MISSING says what the run lacks."""
MISSING: Final = "mcp.missing"
"""What a partial run still lacks, in words."""
SETTLED: Final = "mcp.settled"
"""A param, because MLflow refuses to change one: which of several runs of one key counts. Only such runs have it."""
CHOSEN: Final = "chosen"
SUPERSEDED: Final = "superseded"
COPY_KEY: Final = "mcp.copy.key"
"""On runs and versions that copy_model made: stands for the version that was copied, and is the same each time."""
COPY_TRACKER: Final = "mcp.copy.tracker"
"""The tracker that it was copied from, by name and address."""
COPY_VERSION: Final = "mcp.copy.version"
"""The version there, as `churn/3`."""
COPY_RUN: Final = "mcp.copy.run_id"
"""The run of that version there."""
PROMOTION_PREFIX: Final = "mcp.promotion."
"""Followed by the alias or stage and the time: `mcp.promotion.champion.1795233300953`; the value is JSON."""

NOTE: Final = "mlflow.note.content"
"""The description of an experiment or run."""
RUN_NAME: Final = "mlflow.runName"
PARENT_RUN: Final = "mlflow.parentRunId"
USER: Final = "mlflow.user"
SOURCE_NAME: Final = "mlflow.source.name"
GIT_COMMIT: Final = "mlflow.source.git.commit"
LOGGED_MODELS: Final = "mlflow.log-model.history"
"""Models among the artifacts of a run, as MLflow 2 logged them: a JSON list."""
DATASET_CONTEXT: Final = "mlflow.data.context"
"""What a run used a dataset for; a tag of the input, not of the run."""


def is_reserved(key: str) -> bool:
    """Whether a tag belongs to this server in some store: MySQL compares keys without case and accents."""
    return comparable(key).startswith(RESERVED_PREFIX)


def written(tags: Iterable[str] | None, *, description: str = "", name: str = "") -> list[str]:
    """The tags that a call writes to a run: MLflow keeps its description and its name as tags too."""
    return [*(tags or ()), *([NOTE] if description else []), *([RUN_NAME] if name else [])]
