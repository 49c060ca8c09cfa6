"""A canary in every variable that can carry a secret: found in nothing that leaves the process, in no encoding."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from tests.conftest import free_port
from tests.registry_world import MLMODEL
from tests.reliability import arguments
from tests.test_cli import run

ANSWER_SECONDS = 240
"""Bound of every wait; only a hang takes so long."""

SECRETS = {
    "MLFLOW_TRACKING_PASSWORD": 'p@ss "wörd"/canary-1',
    "MLFLOW_TRACKING_TOKEN": "canary-2-0123456789-abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxyz",
    "AWS_SECRET_ACCESS_KEY": "canary-3/aws+secret",
    "AWS_ACCESS_KEY_ID": "CANARY4ACCESSKEY",
    "AWS_SESSION_TOKEN": "canary-5//session==",
    "DATABRICKS_TOKEN": "dapi-canary-6-0123456789",
    "DATABRICKS_CLIENT_SECRET": "canary-7-client",
    "AZURE_STORAGE_CONNECTION_STRING": "AccountName=me;AccountKey=canary-8==",
    "OPENAI_API_KEY": "sk-canary-9-0123456789",
    "GITHUB_TOKEN": "ghp_canary10",
    "MLFLOW_CRYPTO_KEK_PASSPHRASE": "canary-11 kek",
}
IN_ADDRESSES = {
    "MLFLOW_REGISTRY_URI": ("postgresql://ann:{}@127.0.0.1:1/db?sslpassword=canary-12b", "c@nary-12/a"),
    "HTTPS_PROXY": ("http://proxy-user:{}@127.0.0.1:9", "canary-13-proxy"),
    "DATABASE_URL": ("mysql://root:{}@127.0.0.1/db", "canary-14-db"),
}
ENVIRONMENT = {
    "MLFLOW_TRACKING_USERNAME": "ann",
    "MLFLOW_MCP_LOG_LEVEL": "DEBUG",
    "MLFLOW_MCP_TOOLSETS": "all",
    "TOKENIZERS_PARALLELISM": "false",  # No secret: the word must still be readable.
    **SECRETS,
    **{name: form.format(quote(secret, safe="")) for name, (form, secret) in IN_ADDRESSES.items()},
}
CANARIES = [*SECRETS.values(), *(secret for _, secret in IN_ADDRESSES.values()), "canary-12b"]


def encodings(secret: str) -> Iterator[str]:
    """How a text may be written, and what a cut leaves of a long one."""
    for text in (secret, f"ann:{secret}"):
        yield from (text, quote(text), quote(text, safe=""), quote_plus(text))
        yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
        yield base64.b64encode(text.encode()).decode().rstrip("=")
        yield base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    if len(secret) > 40:
        yield secret[:16]


def leaks(output: str | bytes) -> list[str]:
    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else output
    return [
        f"{form} in ...{text[max(0, text.index(form) - 80) :][:200]}"
        for c in CANARIES
        for form in encodings(c)
        if form in text
    ]


class Host:
    """Speaks to a server process as a client of the handshake era that can ask a person; keeps every byte."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process, self.heard, self.asked, self._id = process, b"", 0, 0
        self.ask(
            "initialize",
            {
                "protocolVersion": "2025-11-25",
                "capabilities": {"elicitation": {}},
                "clientInfo": {"name": "canary", "version": "1"},
            },
        )
        self._send({"method": "notifications/initialized"})

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._id += 1
        self._send({"id": self._id, "method": method, "params": {**params, "_meta": {"progressToken": self._id}}})
        for line in iter(self.process.stdout.readline, b""):  # type: ignore[union-attr]
            self.heard += line
            message = json.loads(line)
            if message.get("method") == "elicitation/create":
                self.asked += 1
                self._send({"id": message["id"], "result": {"action": "decline"}})
            elif message.get("id") == self._id:
                return message
        raise AssertionError(f"no answer to {method}")

    def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        return self.ask("tools/call", {"name": tool, "arguments": arguments}).get("result", {})

    def _send(self, message: dict[str, Any]) -> None:
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[tuple[Host, Path]]:
    log = folder / "stderr"
    with open(log, "wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "mcp_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env={**os.environ, **ENVIRONMENT, **environment},
        )
    bound = threading.Timer(ANSWER_SECONDS, process.kill)
    bound.start()
    try:
        yield Host(process), log
    finally:
        bound.cancel()
        process.kill()
        process.communicate()


def plant(host: Host) -> tuple[str, str]:
    """Secrets where a careless script leaves them. Gives the run and the experiment."""
    (token, password), everything = (
        (SECRETS[f"MLFLOW_TRACKING_{name}"] for name in ("TOKEN", "PASSWORD")),
        "\n".join(CANARIES),
    )
    written = host.call(
        "log_run",
        experiment=f"exp {token}",
        run_name=f"run {token}",
        params={f"param{number}": secret for number, secret in enumerate(CANARIES)} | {"login": f"ann:{password}"},
        metrics={"accuracy": 0.9, f"loss_{SECRETS['AWS_ACCESS_KEY_ID']}": [[0, 1], [1, 0.5]]},
        tags={"curl": f"-u ann:{password}", "header": "Basic " + base64.b64encode(f"ann:{password}".encode()).decode()},
        description=everything,
        datasets=[{"name": "train", "source": f"s3://key:{quote(SECRETS['AWS_SECRET_ACCESS_KEY'], safe='')}@bucket"}],
        artifacts={
            "log.txt": everything,
            "env.json": json.dumps(SECRETS),
            "model/MLmodel": MLMODEL,
            "x.bin": "\x00" + everything,
        },
    )
    assert not written.get("isError"), written
    written = written["structuredContent"]
    for _ in range(2):
        host.call(
            "register_model", name=f"model {token}", run=written["run_id"], description=everything, alias="champion"
        )
    return written["run_id"], written["experiment_id"]


def test_no_canary_leaves_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every tool, resource, prompt and completion, questions, refusals, the DEBUG log and the audit log."""
    audit = tmp_path / "audit.jsonl"
    with serving(tmp_path, MLFLOW_MOCK_MODE="true", MLFLOW_MCP_AUDIT_LOG=str(audit)) as (host, log):
        run_id, experiment_id = plant(host)
        token = SECRETS["MLFLOW_TRACKING_TOKEN"]
        host.call("delete_model", name=f"model {token}")
        host.call("delete_runs", runs=[run_id])
        host.call("promote_model", name=f"model {token}", version=1)
        assert host.asked >= 2, "nobody was asked"
        monkeypatch.setattr(arguments, "HOSTILE", CANARIES)
        chance = random.Random(20261121)
        for tool in host.ask("tools/list", {})["result"]["tools"]:
            for _ in range(3):
                chosen = arguments.arguments_for(tool["inputSchema"], chance)
                named = {"run": run_id, "runs": [run_id], "experiment": experiment_id, "experiments": [experiment_id]}
                host.ask(
                    "tools/call",
                    {"name": tool["name"], "arguments": chosen | {n: named[n] for n in chosen if n in named}},
                )
        for kind in ("tools", "resources", "prompts", "resources/templates"):
            host.ask(f"{kind}/list", {})
        for uri in (
            "mlflow://server",
            f"mlflow://runs/{run_id}",
            f"mlflow://experiments/{experiment_id}",
            f"mlflow://models/model%20{token}",
            f"mlflow://models/model%20{token}/versions/1",
            f"mlflow://runs/{run_id}/artifacts/log.txt",
            f"mlflow://runs/{run_id}/artifacts/x.bin",
            f"mlflow://{token}",
        ):
            host.ask("resources/subscribe", {"uri": uri})
            host.ask("resources/read", {"uri": uri})
        for prompt in host.ask("prompts/list", {})["result"]["prompts"]:
            given = {one["name"]: CANARIES[0] for one in prompt.get("arguments", ())}
            host.ask("prompts/get", {"name": prompt["name"], "arguments": given})
            host.ask("prompts/get", {"name": prompt["name"], "arguments": {token: token}})
            for name in given:
                ref = {"type": "ref/prompt", "name": prompt["name"]}
                host.ask("completion/complete", {"ref": ref, "argument": {"name": name, "value": ""}})
        host.ask(f"no/such/{token}", {})
        host.call(token)
    heard = host.heard.decode()
    assert run_id in heard and "***" in heard and "false" in heard
    assert "register_model" in audit.read_text() and "DEBUG" in log.read_text()
    assert leaks(heard) == []
    assert leaks(log.read_bytes()) == []
    assert leaks(audit.read_bytes()) == []


@pytest.mark.parametrize(
    "arguments", [["check"], ["--help"], [SECRETS["GITHUB_TOKEN"]]], ids=["check", "help", "wrong"]
)
def test_no_canary_is_printed_by_a_command(arguments: list[str], tmp_path: Path):
    """`check` and its failures, help, and a wrong command line."""
    environment = {**ENVIRONMENT, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db?key=canary-12b"}
    said = run(*arguments, cwd=tmp_path, **environment)
    assert said.stdout + said.stderr
    assert leaks(said.stdout + said.stderr) == []


@pytest.mark.parametrize(
    "address",
    ["http://ann:{}@127.0.0.1:{}", "postgresql://ann:{}@127.0.0.1:{}/db", "http://ann:{}@x@127.0.0.1:{}"],
)
def test_check_of_an_address_that_fails_shows_no_canary(address: str, tmp_path: Path):
    """Nothing listens there, or the address cannot be read; at DEBUG, with the tracebacks of libraries."""
    uri = address.format(quote(SECRETS["MLFLOW_TRACKING_PASSWORD"], safe=""), free_port())
    said = run("check", cwd=tmp_path, **{**ENVIRONMENT, "MLFLOW_TRACKING_URI": uri})
    assert said.returncode == 1
    assert leaks(said.stdout + said.stderr) == []
