"""The files that others read: the MCP registry, Docker, Compose, CI, and whoever imports the package."""

from __future__ import annotations

import json
import os
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import yaml

import mcp_server
from tests.test_readme import README, ROOT

SCRIPT = "mcp-server-mlflow"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_server_json_says_what_the_registry_asks_for():
    """Its rules of 2025-12-11; the README proves to it that both belong together."""
    server = json.loads(read("server.json"))
    assert server["$schema"] == "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", server["name"])
    assert f"<!-- mcp-name: {server['name']} -->" in README
    assert len(server["description"]) <= 100
    (package,) = server["packages"]
    assert (package["registryType"], package["identifier"], package["runtimeHint"]) == ("pypi", SCRIPT, "uvx")
    assert package["transport"] == {"type": "stdio"}


def test_the_command_that_hosts_are_told_is_the_one_that_is_installed():
    """And named like the distribution, so that uvx finds it."""
    (script,) = entry_points(group="console_scripts", name=SCRIPT)
    assert script.value == "mcp_server.cli:main"
    assert f'name = "{SCRIPT}"' in read("pyproject.toml")
    assert read("Dockerfile").rstrip().endswith(f'ENTRYPOINT ["{SCRIPT}"]')
    assert re.search(rf"claude mcp add .* -- {SCRIPT}$", README, re.MULTILINE)


def test_the_image_runs_as_a_user_and_copies_only_what_the_package_is_made_of():
    """A .env, a store or the history of the folder it is built in never get into it."""
    dockerfile = read("Dockerfile")
    assert re.search(r"^USER (?!root)\w+$", dockerfile, re.MULTILINE)
    copied = [word for line in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE) for word in line.split()[:-1]]
    assert copied == ["pyproject.toml", "README.md", "LICENSE", "mcp_server"]
    assert all((ROOT / name).exists() for name in copied)


def test_compose_answers_on_this_machine_only_and_waits_for_what_it_needs():
    """Ports on all addresses would offer MLflow to the whole network, in plain HTTP."""
    services: dict[str, Any] = yaml.safe_load(read("compose.yaml"))["services"]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            ready = "service_healthy" if "healthcheck" in services[needed] else "service_completed_successfully"
            assert how == {"condition": ready}
    assert any(argument.startswith("--allowed-hosts=") for argument in services["mlflow"]["command"])
    assert services["mcp"]["profiles"] == ["mcp"]


def test_ci_runs_the_line_that_the_readme_tells_developers():
    """A missing install step shows in CI before it shows to them."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    line = "pip install -e '.[dev]' && pytest"
    assert f'bash -c "{line}"' in script.read_text(encoding="utf-8")
    assert line in README.splitlines()


def test_the_changelog_begins_with_what_is_not_released():
    """Keep a Changelog: whoever changes something for users has a place to say so."""
    assert re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)[0] == "[Unreleased]"


def test_the_package_carries_its_data_and_says_that_it_is_typed():
    """Mock mode begins with the schema; type checkers of training scripts look for py.typed."""
    package = Path(mcp_server.__file__).parent
    assert (package / "py.typed").is_file()
    assert (package / "mlflow_integration" / "local" / "schema.json.gz").is_file()
