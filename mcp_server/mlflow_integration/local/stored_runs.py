"""Large pages of runs read from the tables of an SQLite store: MLflow's answer at a tenth of its time.

MLflow builds an object for each metric, param and tag, and writes its JSON three times: 0.4 s for 1,000 runs.
Only searches that read a whole experiment are answered here, by its runs' start at most; MLflow answers the others.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Final

from mcp_server.mlflow_integration.local import mlflow_internals
from mcp_server.mlflow_integration.rest.fields import Json

logger = logging.getLogger(__name__)

_STAGES: Final = {"ACTIVE_ONLY": ("active",), "DELETED_ONLY": ("deleted",), "ALL": ("active", "deleted")}
_ORDERS: Final = {
    (): "start_time DESC, run_uuid",
    ("attributes.start_time ASC",): "start_time, run_uuid",
}
"""Those of whole experiments: MLflow's own, and that of an export."""
_CLAUSE: Final = re.compile(r"attributes\.start_time (<=|>=) (\d{1,18})")
_RUN_COLUMNS: Final = (
    *("run_uuid", "experiment_id", "name", "status", "start_time", "end_time", "lifecycle_stage", "artifact_uri"),
)
_IDS_AT_ONCE: Final = 500
"""Bound values of one statement; the oldest SQLite takes 999."""


def read_page(database: Any, search: Mapping[str, Any]) -> Json | None:
    """What MLflow answers to runs/search with the body `search`, as far as entities are built from it.

    `database` is an SQLAlchemy engine of SQLite. None: this search is left to MLflow, or the tables cannot be read.
    """
    condition = _condition(search.get("filter", ""))
    order = _ORDERS.get(tuple(search.get("order_by", ())))
    offset = mlflow_internals.search_offset(search.get("page_token", ""))
    experiments = [str(one) for one in search["experiment_ids"]]
    if condition is None or order is None or offset is None or len(experiments) > _IDS_AT_ONCE:
        return None
    if not all(re.fullmatch(r"[0-9]{1,18}", one) for one in experiments):
        return None
    size: int = search["max_results"]
    statement = (
        f"SELECT {', '.join(_RUN_COLUMNS)} FROM runs WHERE experiment_id IN :experiments "
        f"AND lifecycle_stage IN :stages{condition} ORDER BY {order} LIMIT :size OFFSET :offset"
    )
    stages = _STAGES[search.get("run_view_type", "ACTIVE_ONLY")]
    values = {"experiments": [int(one) for one in experiments], "stages": stages, "size": size + 1, "offset": offset}
    sqlalchemy: Any = import_module("sqlalchemy")
    try:
        with database.connect() as connection:
            rows = connection.execute(_statement(statement, "experiments", "stages"), values).all()
            runs = _runs(connection, rows[:size])
    except sqlalchemy.exc.SQLAlchemyError as error:
        logger.warning("Runs could not be read from the tables of the store: %s", type(error).__name__)
        return None
    return {"runs": runs, "next_page_token": mlflow_internals.search_token(offset + size) if len(rows) > size else ""}


def _condition(filter_string: str) -> str | None:
    """The SQL of a filter that only bounds the start of runs; None for another one."""
    if not filter_string:
        return ""
    found = [_CLAUSE.fullmatch(clause) for clause in filter_string.split(" and ")]
    if not all(found):
        return None
    return "".join(f" AND start_time {match[1]} {match[2]}" for match in found if match)


def _runs(connection: Any, rows: Sequence[Sequence[Any]]) -> list[Json]:
    """MLflow's JSON of these rows of the table runs, in their order."""
    runs: dict[str, Json] = {}
    for row in rows:
        run_id, experiment_id, run_name, *others = row
        info = dict(zip(_RUN_COLUMNS[3:], others, strict=True))
        info |= {"run_id": run_id, "experiment_id": str(experiment_id), "run_name": run_name}
        runs[run_id] = {"info": info, "data": {"metrics": [], "params": [], "tags": []}}
    ids = list(runs)
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = ids[start : start + _IDS_AT_ONCE]
        for kind in ("params", "tags"):
            for run_id, key, value in _ask(connection, kind, some):
                runs[run_id]["data"][kind].append({"key": key, "value": value})
        for run_id, key, value, is_nan in _ask(connection, "metrics", some):
            runs[run_id]["data"]["metrics"].append({"key": key, "value": math.nan if is_nan else value})
        for run_id, model_id in _ask(connection, "models", some):
            outputs = runs[run_id].setdefault("outputs", {"model_outputs": []})
            outputs["model_outputs"].append({"model_id": model_id})
        for run_id, dataset_input in _dataset_inputs(connection, some):
            inputs = runs[run_id].setdefault("inputs", {"dataset_inputs": []})
            inputs["dataset_inputs"].append(dataset_input)
    return list(runs.values())


def _dataset_inputs(connection: Any, ids: Sequence[str]) -> Iterator[tuple[str, Json]]:
    """Run id and one of its datasets, each once, with the tags that its run gave it."""
    found: dict[tuple[str, str], Json] = {}
    for run_id, dataset_id, name, digest, kind, source, schema, key, value in _ask(connection, "datasets", ids):
        dataset = {"name": name, "digest": digest, "source_type": kind, "source": source, "schema": schema}
        one = found.setdefault((run_id, dataset_id), {"dataset": dataset, "tags": []})
        if key is not None:
            one["tags"].append({"key": key, "value": value})
    for (run_id, _), one in found.items():
        yield run_id, one


def _ask(connection: Any, what: str, ids: Sequence[str]) -> Iterator[Any]:
    return connection.execute(_statement(_OF_RUNS[what], "ids"), {"ids": ids})


@cache
def _statement(statement: str, *lists: str) -> Any:
    """Built once: SQLAlchemy then finds its SQL in its cache."""
    sqlalchemy: Any = import_module("sqlalchemy")
    return sqlalchemy.text(statement).bindparams(*(sqlalchemy.bindparam(name, expanding=True) for name in lists))


_OF_RUNS: Final[Mapping[str, str]] = {
    "metrics": "SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE run_uuid IN :ids",
    "params": "SELECT run_uuid, key, value FROM params WHERE run_uuid IN :ids",
    "tags": "SELECT run_uuid, key, value FROM tags WHERE run_uuid IN :ids",
    "models": (
        "SELECT source_id, destination_id FROM inputs "
        "WHERE source_type = 'RUN_OUTPUT' AND source_id IN :ids AND destination_type = 'MODEL_OUTPUT'"
    ),
    "datasets": (
        "SELECT i.destination_id, d.dataset_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, "
        "d.dataset_schema, t.name, t.value FROM inputs i JOIN datasets d ON i.source_id = d.dataset_uuid "
        "LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid "
        "WHERE i.destination_type = 'RUN' AND i.destination_id IN :ids ORDER BY i.destination_id"
    ),
}
