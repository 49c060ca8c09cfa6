"""Random arguments for any tool, made from its input schema: plausible ones, hostile ones, and both at once."""

from __future__ import annotations

import random
from typing import Any, Final

RUN_NAMES: Final = ("baseline", "candidate", "twin", "spiky", "föö / bär 🙂")
EXPERIMENT: Final = "churn"
MODEL: Final = "churn-model"

FAMILIAR: Final[dict[str, tuple[Any, ...]]] = {
    "experiment": (EXPERIMENT, "other", "0"),
    "experiments": ([EXPERIMENT], EXPERIMENT, ["other", EXPERIMENT], []),
    "run": RUN_NAMES,
    "runs": (["baseline"], ["baseline", "candidate"], list(RUN_NAMES), "baseline"),
    "baseline": RUN_NAMES,
    "parent_run": RUN_NAMES,
    "metric": ("accuracy", "loss", "val_loss", "acuracy"),
    "metrics": (["loss"], ["accuracy", "loss"], "loss", ["los"], {"accuracy": 0.5}),
    "metrics by name": ({"accuracy": 0.5}, {"loss": [[0, 1.0], [1, 0.5]]}, {"m": "NaN"}, ["accuracy"]),
    "params": ({"lr": 0.1}, {"model": "cnn"}, ["lr"]),
    "tags": ({"team": "vision"}, ["a=1"], {"mcp.state": "complete"}),
    "name": (MODEL, EXPERIMENT, "new name"),
    "version": (1, "1", "2", "champion", "latest", 99),
    "versions": ([1, 2], ["champion", "latest"]),
    "alias": ("champion", "challenger", "prod", "3"),
    "filter_string": ("metrics.accuracy > 0.5", "params.model = 'cnn'", "tags.team = 'vision'", "acc >> 1", "a or b"),
    "order_by": (["metrics.accuracy DESC"], "params.lr ASC, start_time", ["accuracy downwards"]),
    "since": ("30d", "7d", "2026-01-01", "yesterday", "999999d"),
    "until": ("2099-01-01", "1h", "now"),
    "gates": (["metrics.accuracy >= 0.1"], ["metrics.loss < champion - 1%"], "metrics.accuracy > 2"),
    "path": ("notes.txt", "model/MLmodel", "plots", ""),
    "files": (["/etc/passwd"], [""], ["."], ["nothing.txt"]),
    "artifacts": ({"notes.txt": "hello"}, {"a": "1", "a/b": "2"}, {"../x": "y"}),
    "datasets": ([{"name": "train"}], [{"digest": "x"}], {"name": "one"}),
    "columns": (["metrics.*"], ["params.lr"], "status"),
    "idempotency_key": ("k1", "k2"),
    "direction": ("max", "min", "auto", "MAX"),
    "status": ("FINISHED", "failed", "RUNNING"),
    "confirm_name": ("baseline", MODEL, "churn", "2 runs"),
    "timeout_seconds": (0.1, 1),
}
"""By argument name; each is a value that an agent would send, the first one right."""

HOSTILE: Final = (
    "",
    " ",
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**63) - 1,
    2**80,
    0.1,
    1e308,
    float("inf"),
    float("nan"),
    "NaN",
    "1e999",
    "-0",
    [],
    {},
    [[]],
    [None],
    [1, "a", None, {"b": []}],
    {"": ""},
    {"a": {"b": {"c": [1, 2, {"d": None}]}}},
    {"k" * 300: "v" * 9_000},
    "x" * 5_000,
    "x" * 200_000,
    "\x00",
    "a\x00b\x1b[2J\x1b]0;title\x07",
    "\u202eevil\u2066",
    "line\nnext|cell\rreturn\u2028separator",
    "\ud800",
    "👩‍👩‍👧‍👦" * 50,
    "ünïcödé",
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1:9/x",
    "s3://bucket/key",
    "C:\\Windows\\win.ini",
    "\\\\host\\share",
    "'; DROP TABLE runs; --",
    '" or 1=1',
    "`",
    "a`b'c\"d",
    "%",
    "*",
    "${HOME}",
    "{{7*7}}",
    "runs:/x/y",
    "models:/m-0123456789abcdef",
    "[1, 2",
    '{"a": 1}',
    '["a", "b"]',
    "null",
    "true",
    "2026-13-45",
    "9" * 400,
)


def arguments_for(schema: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """One set of arguments: half of them wholly plausible, half with some left out, hostile or unknown."""
    properties: dict[str, Any] = schema.get("properties", {})
    required = set(schema.get("required", ()))
    chosen = {
        name: _plausible(name, part, chance)
        for name, part in properties.items()
        if name in required or chance.random() < 0.25
    }
    if not properties or chance.random() < 0.5:
        return chosen
    for name in chance.sample(list(properties), min(chance.choice((1, 1, 2)), len(properties))):
        chosen[name] = chance.choice(HOSTILE)
    if chance.random() < 0.1:
        chosen.pop(chance.choice(list(chosen)))
    if chance.random() < 0.1:
        chosen[chance.choice(("fliter", "limit", "x" * 500, "", "run_id", "self"))] = chance.choice(HOSTILE)
    return chosen


def _plausible(name: str, part: dict[str, Any], chance: random.Random) -> Any:
    if "enum" in part:
        return chance.choice(part["enum"])
    if name == "metrics" and part.get("type") == "object":
        name = "metrics by name"
    if name in FAMILIAR and chance.random() < 0.95:
        return FAMILIAR[name][0] if chance.random() < 0.6 else chance.choice(FAMILIAR[name])
    kind = part.get("type")
    if kind == "integer":
        low, high = part.get("minimum", 0), part.get("maximum", 100)
        return chance.randint(int(low), int(high))
    if kind == "number":
        return chance.uniform(part.get("minimum", 0), part.get("maximum", 5))
    if kind == "boolean":
        return chance.random() < 0.5
    if kind == "array":
        return [chance.choice(("a", "b", 1))]
    if kind == "object":
        return {"key": chance.choice(("value", 1, 0.5))}
    return chance.choice(("text", "0.5", "some words", "2026-11-20"))
