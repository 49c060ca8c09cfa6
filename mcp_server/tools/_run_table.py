"""Tables of runs: which columns show what tells the runs apart, within a budget for each row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from mcp_server.comparisons import key_text
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import Run
from mcp_server.mlflow_integration.operations.searching.run_search import Search
from mcp_server.suggestions import closest, words
from mcp_server.tools._views import ATTRIBUTES, VALUE_LIMIT, run_cell, short_value
from mcp_server.untrusted import shown

ROW_BUDGET: Final = 200
"""Characters of the text half that the columns of one row fill, unless the caller chose them."""
_FEWEST_ROWS: Final = 20
"""Tables with fewer rows get the budget of this many: about 1,000 tokens."""
ALWAYS: Final = 3
"""Varying metrics, and varying params, that are shown whatever they cost."""
NO_RUN: Final = "No run on this page has"
_KINDS: Final = ("params", "metrics", "tags")
_INTERNAL_TAGS: Final = tuple(f"tags.{prefix}" for prefix in tag_names.INTERNAL_PREFIXES)
_SYNONYMS: Final = {
    "name": "run_name", "id": "run_id", "experiment_name": "experiment", "state": "status", "started": "start_time",
    "created": "start_time", "ended": "end_time", "lifecycle": "lifecycle_stage", "parent": "parent_run",
    "commit": "git_commit", "notes": "description", "dataset": "datasets", "user_id": "user",
}  # fmt: skip
_TIMINGS: Final = frozenset(
    {"time", "times", "duration", "durations", "runtime", "walltime", "elapsed", "seconds", "secs", "ms", "timestamp"}
)
"""Words of metrics that say how long something took, not how good it is."""


@dataclass(frozen=True, slots=True)
class RunTable:
    """Columns and rows, and the names of the columns that did not fit."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    left_out: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """Sentences about columns that were asked for and that none of these runs has."""

    def hint(self, tool: str = "") -> str:
        """What is not shown and how to get it; empty when there is nothing to say."""
        parts = list(self.unknown)
        if self.left_out:
            where = f"columns= of {tool}" if tool else "columns="
            parts.append(f"Not shown, available with {where}: {', '.join(shown(name) for name in self.left_out)}.")
        return " ".join(parts)


def run_table(
    runs: Sequence[Run],
    *,
    asked: Sequence[str] = (),
    used: Sequence[str] = (),
    by_time: bool = False,
    names: Mapping[str, str] | None = None,
    row_budget: int = ROW_BUDGET,
) -> RunTable:
    """The table of some runs, one row each.

    `asked` are the caller's columns; without them come `used`, the ones that filter and order name, then what
    varies: params, metrics, tags, as far as `row_budget` characters reach. `names` are experiments by id.
    """
    fixed = ["run_id", "run_name"]
    if len({run.experiment_id for run in runs}) > 1:
        fixed.append("experiment")
    left_out: list[str] = []
    unknown: list[str] = []
    if asked:
        chosen, unknown = matching_columns(asked, runs)
        columns = list(dict.fromkeys([*fixed, *chosen]))
    else:
        if any(run.status != "FINISHED" for run in runs):
            fixed.append("status")
        if any(run.lifecycle_stage == "deleted" for run in runs):
            fixed.append("lifecycle_stage")
        columns = list(dict.fromkeys([*fixed, *used]))
        known = {*all_columns(runs), *ATTRIBUTES}
        # A filter on it would have found nothing, so only an order can name what no run has.
        missing = [name for name in used if runs and name not in known]
        unknown = [f"{_unknown(name, sorted(known), NO_RUN)} Ordering by it has no effect." for name in missing]
        more, left_out = _chosen(runs, columns, row_budget)
        columns += more
        if by_time and "start_time" not in columns:
            columns.append("start_time")
    whole = set(asked and columns)
    rows = [tuple(_cell(run, column, names or {}, whole) for column in columns) for run in runs]
    return RunTable(tuple(columns), tuple(rows), tuple(left_out), tuple(unknown))


def search_hint(search: Search) -> str:
    """What a search left out without being told to: experiments other than the default, runs that lack a key."""
    hints: list[str] = []
    if search.by_default:
        default = shown(search.by_default)
        hints.append(f"Only the default experiment '{default}' was searched; experiments='*' searches all.")
    for one in search.all_clauses:
        if one.entity in ("params", "tags") and one.condition.startswith(("!=", "NOT ")):
            name = f"{one.entity}.{shown(key_text(one.key))}"
            hints.append(f"Runs without {name} are not among these; {name} IS NULL finds them.")
    hints += [f"{shown(written)} leaves out all of that day; >= includes it." for written in search.after_days]
    return " ".join(dict.fromkeys(hints))


def used_columns(search: Search) -> list[str]:
    """The columns that a search uses, those of its order first."""
    ordered = [entry.rpartition(" ")[0] for entry in search.order_by]
    named = ["datasets" if one.entity == "datasets" else f"{one.entity}.{one.key}" for one in search.all_clauses]
    found = (name.replace("`", "").removeprefix("attributes.") for name in [*ordered, *named])
    known = (_SYNONYMS.get(name, name) for name in found)
    kept = (name for name in known if name != f"tags.{tag_names.PARENT_RUN}")
    return [name for name in dict.fromkeys(kept) if name in ATTRIBUTES or name.partition(".")[0] in _KINDS]


def varying_columns(runs: Sequence[Run]) -> list[str]:
    """What tells runs apart, the most telling first: params, metrics, tags; then timings, `system/` and long values.

    For a single run, everything it has. MLflow's own tags are left out.
    """
    columns = [name for name in all_columns(runs) if not name.startswith(_INTERNAL_TAGS)]
    if len(runs) > 1:
        columns = [name for name in columns if len({str(run_cell(run, name)) for run in runs}) > 1]
    return sorted(columns, key=lambda name: _is_late(name, runs))


def all_columns(runs: Sequence[Run]) -> list[str]:
    """Every param, metric and tag that one of the runs has, MLflow's own tags last."""
    params = sorted({f"params.{key}" for run in runs for key in run.params})
    metrics = sorted({f"metrics.{key}" for run in runs for key in run.metrics})
    tags = sorted(
        {f"tags.{key}" for run in runs for key in run.tags},
        key=lambda name: (name.startswith(_INTERNAL_TAGS), name),
    )
    return params + metrics + tags


def _chosen(runs: Sequence[Run], fixed: Sequence[str], row_budget: int) -> tuple[list[str], list[str]]:
    """Columns that fit next to the fixed ones, and those that do not."""
    budget = row_budget * max(len(runs), _FEWEST_ROWS) - sum(_width(name, runs) for name in fixed)
    candidates = [name for name in varying_columns(runs) if name not in fixed]
    sure = {name for kind in ("metrics", "params") for name in [n for n in candidates if n.startswith(kind)][:ALWAYS]}
    budget -= sum(_width(name, runs) for name in sure)
    chosen: list[str] = []
    left_out: list[str] = []
    for name in candidates:
        if name not in sure:
            budget -= _width(name, runs)
            if budget < 0 or left_out:
                left_out.append(name)
                continue
        chosen.append(name)
    return chosen, left_out


def _is_late(column: str, runs: Sequence[Run]) -> tuple[bool, bool]:
    """Sorts long values last, and before them what says little about the quality of a run."""
    kind, _, key = column.partition(".")
    values = [str(run_cell(run, column)) for run in runs]
    long = sum(len(value) > VALUE_LIMIT for value in values) * 2 > len(values)
    dull = kind == "metrics" and (key.startswith("system/") or not _TIMINGS.isdisjoint(words(key)[-2:]))
    return long, dull


def matching_columns(asked: Sequence[str], runs: Sequence[Run], *, nobody: str = NO_RUN) -> tuple[list[str], list[str]]:
    """The columns that a caller means, and a sentence, beginning with `nobody`, for each that none of the runs has."""
    known = all_columns(runs)
    chosen: list[str] = []
    unknown: list[str] = []
    for text in _split(asked, known):
        found = _matching(text, known)
        chosen += found or [text]
        if not found and runs:
            unknown.append(_unknown(text, known, nobody))
    return chosen, unknown


def _split(asked: Iterable[str], known: Sequence[str]) -> Iterable[str]:
    """Each name without quotes and spaces; a text with commas is several names, unless a column has that name."""
    for text in asked:
        parts = [text] if text in known else text.split(",")
        for part in parts:
            name = part.strip().replace("`", "").removeprefix("attributes.").removeprefix("attribute.")
            if name:
                yield _SYNONYMS.get(name, name)


def _matching(name: str, known: Sequence[str]) -> list[str]:
    """Columns of a name or pattern: `metrics.*`, `params.x`, an attribute, or a bare key."""
    if name in ATTRIBUTES or name in known:
        return [name]
    kind, dot, key = name.partition(".")
    plural = kind if kind.endswith("s") else f"{kind}s"
    if dot and plural in _KINDS:
        name = f"{plural}.{key}"
    if name in _KINDS:
        name = f"{name}.*"
    shown_by_default = [column for column in known if not column.startswith(_INTERNAL_TAGS)]
    if name in ("*", "all"):
        return shown_by_default
    if "*" in name:
        pattern = name.replace("[", "[[]").replace("?", "[?]")
        return [column for column in (known if "mlflow" in name else shown_by_default) if fnmatchcase(column, pattern)]
    if name in known:
        return [name]
    # Metrics first: a name without its kind is most often one.
    for candidate in (f"metrics.{name}", f"params.{name}", f"tags.{name}"):
        if candidate in known:
            return [candidate]
    folded = [column for column in known if column.casefold() == name.casefold()]
    return folded if len(folded) == 1 else []


def _unknown(name: str, known: Sequence[str], nobody: str) -> str:
    near = closest(name, [*known, *ATTRIBUTES])
    say = f" Closest: {', '.join(shown(one) for one in near)}." if near else ""
    return f"{nobody} {shown(name)}.{say}"


def _cell(run: Run, column: str, names: Mapping[str, str], whole: set[str]) -> Any:
    if column == "experiment":
        return names.get(run.experiment_id, run.experiment_id)
    value = run_cell(run, column)
    return value if column in whole or not isinstance(value, str) else short_value(value)


def _width(column: str, runs: Sequence[Run]) -> int:
    """Characters a column takes in the text half."""
    if column == "run_id":
        return 11 * (len(runs) + 1)
    return len(column) + 1 + sum(len(short_value(str(run_cell(run, column)))) + 1 for run in runs)
