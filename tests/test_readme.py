"""The README and other texts agree with the code; `UPDATE_SNAPSHOTS=1` regenerates the generated parts."""

from __future__ import annotations

import ast
import json
import re
import shutil
import textwrap
from inspect import cleandoc
from pathlib import Path
from typing import Any, get_args

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr

import mcp_server
from mcp_server.settings import SAFETY, TRACKER_PREFIX, Settings, variable_of
from mcp_server.tools import TOOLSETS
from mcp_server.tools._define import Definition
from mcp_server.tracker_settings import OF_ALL, OF_ONE_SERVER, own_variable
from tests.snapshots import assert_matches, with_generated

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

GROUPS = {
    "tracking_uri": "Which MLflow",
    "username": "Who you are there",
    "read_only": "What agents may do",
    "timeout_seconds": "How long things may take",
    "data_dir": "What this server keeps and says",
}
"""Headings of .env.example, by the first setting below each."""


def test_the_tables_of_the_readme_are_those_of_the_code():
    """Tools from their docstrings, variables from Settings."""
    parts = {"tools": _tool_table(), "settings": _settings_table()}
    assert_matches("../../README.md", with_generated("../../README.md", parts))


def test_the_example_of_env_lists_every_setting_once_with_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In the order of Settings; a copy of it as .env changes nothing."""
    assert_matches("../../.env.example", _env_example())
    assert list(dotenv_values(ROOT / ".env.example")) == [variable_of(name) for name in Settings.model_fields]
    monkeypatch.chdir(tmp_path)
    before = Settings.load()
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    assert Settings.load().model_dump() == before.model_dump()


def test_the_variables_of_server_json_are_those_of_the_code():
    """Hosts ask a person for them; the version is the one that is published with it."""
    server = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
    server["version"] = server["packages"][0]["version"] = mcp_server.__version__
    server["packages"][0]["environmentVariables"] = [_registry_input(name) for name in Settings.model_fields]
    assert_matches("../../server.json", json.dumps(server, indent=2, ensure_ascii=False))


def test_every_variable_that_the_readme_names_exists():
    """But for MLflow's own that pass by Settings."""
    named = set(re.findall(r"MLFLOW_[A-Z_]+", README))
    of_trackers = {TRACKER_PREFIX, *(own_variable("prod", field) for field in (*OF_ONE_SERVER, *OF_ALL))}
    known = {variable_of(name) for name in Settings.model_fields} | of_trackers
    assert named <= known | {"MLFLOW_ALLOW_FILE_STORE"}


def test_the_readme_lists_every_setting_that_a_tracker_has_of_its_own():
    """By the end of its variable."""
    listed = README.partition("## Several trackers")[2].partition("\n## ")[0]
    ends = [own_variable("x", field).removeprefix(f"{TRACKER_PREFIX}X_") for field in (*OF_ONE_SERVER, *OF_ALL)]
    assert [end for end in ends if f"`{end}`" not in listed] == []


def test_the_readme_quotes_failures_as_they_are_said():
    """Somebody who searches for the sentence on their screen finds it."""
    code = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "mcp_server").rglob("*.py")]
    said = [
        node.value
        for module in code
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    quoted = re.findall(r"^\| “(.+?)” \|", README, re.MULTILINE)
    assert quoted
    for fragment in (fragment.strip() for sentence in quoted for fragment in sentence.split("…")):
        assert any(fragment in text for text in said), fragment


def test_every_configuration_shown_is_json_that_starts_this_server():
    """VS Code has another word than the others for the servers."""
    blocks = re.findall(r"(?s)```json\n(.*?)```", README)
    assert blocks
    for block in blocks:
        configuration = json.loads(block)
        (server,) = (configuration.get("mcpServers") or configuration["servers"]).values()
        assert "mcp-server-mlflow" in (server["command"], *server.get("args", ()))


def test_every_file_that_the_readme_links_to_is_there():
    """A link to a file of another day is a broken promise."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def _tool_table() -> str:
    rows = [
        f"| {toolset} | `{tool.name}` | {_effect(tool)} | {_first_sentence(tool)} |\n"
        for toolset, tools in TOOLSETS.items()
        for tool in tools
    ]
    return "| toolset | tool | | what it does |\n| --- | --- | --- | --- |\n" + "".join(rows)


def _effect(tool: Definition) -> str:
    if tool.reads_only:
        return "reads"
    if tool.name.startswith("delete_"):
        return "deletes"
    return "changes" if tool.hints.destructive_hint else "adds"


def _first_sentence(tool: Definition) -> str:
    text = " ".join(cleandoc(tool.function.__doc__ or "").split())
    return re.split(r"(?<=\.) ", text)[0]


def _settings_table() -> str:
    rows = [
        f"| `{variable_of(name)}` | {f'`{_default(name)}`' if _default(name) else 'empty'} | {_meaning(name)} |\n"
        for name in Settings.model_fields
    ]
    return "| variable | default | meaning |\n| --- | --- | --- |\n" + "".join(rows)


def _env_example() -> str:
    lines = ["# Every setting with its default: copied as it is to .env, this file changes nothing."]
    for name in Settings.model_fields:
        if name in GROUPS:
            lines += ["", f"# --- {GROUPS[name]} ---"]
        lines += ["", *textwrap.wrap(f"# {_meaning(name)}", 100, subsequent_indent="# ")]
        lines += [f"{variable_of(name)}={_default(name)}"]
    return "\n".join(lines)


def _registry_input(name: str) -> dict[str, Any]:
    field = Settings.model_fields[name]
    kind = {bool: "boolean", float: "number", int: "number"}.get(field.annotation)  # type: ignore[arg-type]
    facts = {
        "description": field.description,
        "format": kind,
        "isSecret": isinstance(field.default, SecretStr),
        "choices": [choice for choice in get_args(field.annotation) if isinstance(choice, str)],
        "default": _default(name),
    }
    return {"name": variable_of(name), **{key: value for key, value in facts.items() if value}}


def _meaning(name: str) -> str:
    field = Settings.model_fields[name]
    return f"{field.description}{' Ignored in .env.' if field.json_schema_extra == SAFETY else ''}"


def _default(name: str) -> str:
    """The default as it is written in the environment."""
    match Settings.model_fields[name].default:
        case bool(value):
            return str(value).lower()
        case float(value):
            return f"{value:g}"
        case None | () | SecretStr():
            return ""
        case value:
            return str(value)
