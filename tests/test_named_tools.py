"""Hints, errors and descriptions send an agent only to tools and arguments that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import mcp_server
from mcp_server.tools import TOOLSETS

PACKAGE = Path(mcp_server.__file__).parent
TOOLS = {definition.name for toolset in TOOLSETS.values() for definition in toolset}
VERBS = "|".join(sorted({name.partition("_")[0] for name in TOOLS}))
NOUNS = r"runs?|experiments?|models?|artifacts?|metrics?|params|metric_history|model_versions|server_info"
OF_THE_PYTHON_API = {"log_params", "log_metrics", "log_metric", "log_artifacts", "search_model_versions"}
"""Functions of the tracker and of MLflow that its docstrings name."""


def texts() -> list[tuple[str, str]]:
    """Every text in the code of the server: strings, parts of formatted strings and docstrings."""
    found: list[tuple[str, str]] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[:2] == ("mlflow_integration", "tracker"):
            continue
        nodes = ast.walk(ast.parse(path.read_text()))
        strings = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
        # A single word is a name in the code and not a sentence for somebody.
        found += [(str(path.relative_to(PACKAGE)), text) for text in strings if " " in text]
    return found


def test_every_tool_that_a_text_names_exists():
    """A hint that names a tool of an earlier version sends the agent into an error."""
    named = [
        (place, word)
        for place, text in texts()
        for word in re.findall(rf"(?<![\w./])(?:{VERBS})_(?:{NOUNS})(?![\w(/.])", text)
    ]
    assert len(named) > 40
    assert [(place, word) for place, word in named if word not in TOOLS | OF_THE_PYTHON_API] == []
