"""The audit log: every call is in it, and nothing that a call said."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from mcp.shared.exceptions import MCPError

from mcp_server.errors import SettingsError
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.server import build_server
from tests.conftest import connect


async def test_every_call_is_one_line_without_what_it_said(mock_engine: Engine, era: str, tmp_path: Path):
    """Who, which tool, hashes of the arguments, the outcome, and the requests that MLflow got."""
    path = tmp_path / "audit.jsonl"
    async with connect(mock_engine, era, audit_log=path) as agent:
        await agent.ask("log_run", experiment="secret-project", metrics={"accuracy": 0.9})
        await agent.ask("search_runs", experiments=["secret-project"])
        await agent.refusal("search_runs", experiments=["secret-project"], max_results="many")
        with pytest.raises(MCPError):
            await agent.client.call_tool("no_such_tool", {})
    text = path.read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    assert [(e["tool"], e["outcome"]) for e in entries] == [
        ("log_run", "answered"),
        ("search_runs", "answered"),
        ("search_runs", "error"),
    ]
    logged, searched, refused = entries
    assert "POST /api/2.0/mlflow/runs/create" in logged["requests"]
    assert searched["requests"]
    assert refused["requests"] == []
    assert searched["arguments"]["experiments"] == refused["arguments"]["experiments"]
    assert all(entry["who"] and entry["time"].endswith("+00:00") for entry in entries)
    assert "secret" not in text
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_log_that_cannot_be_written_stops_the_start(mock_engine: Engine, tmp_path: Path):
    """Rather than serving without the log that was asked for."""
    from dataclasses import replace

    settings = mock_engine.settings.model_copy(update={"audit_log": tmp_path / "no" / "such" / "folder"})
    with pytest.raises(SettingsError, match="MLFLOW_MCP_AUDIT_LOG cannot be written"):
        build_server(replace(mock_engine, settings=settings))
