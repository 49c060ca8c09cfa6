"""Answers: how many bytes an agent reads, and how many requests MLflow gets for them.

The reference is MLflow's own JSON for the same question. "Whole" is the result of the JSON-RPC answer as it
goes through the pipe; hosts show the model one of its two halves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import anyio
from mcp.client import Client
from measure import Report, Rest, StdioServer, mlflow_server, run, size

from mcp_server.mlflow_integration.engine import engine_over, open_engine
from mcp_server.mlflow_integration.rest.transport import Method, Params, Reply, Transport
from mcp_server.server import build_server
from mcp_server.settings import Settings

RUNS = 200
STEPS = 10_000
BEST = "metrics.accuracy > 0.9"


class CountingTransport:
    """Carries requests on and counts them."""

    def __init__(self, beneath: Transport) -> None:
        self._beneath = beneath
        self.paths: list[str] = []

    async def request(
        self,
        method: Method,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool,
    ) -> Reply:
        self.paths.append(path)
        return await self._beneath.request(
            method, path, params=params, json=json, content=content, headers=headers, idempotent=idempotent
        )

    def warm_up(self) -> None:
        self._beneath.warm_up()

    def close(self) -> None:
        self._beneath.close()

    async def aclose(self) -> None:
        await self._beneath.aclose()


def calls(ids: list[str], curve: str) -> dict[str, tuple[str, dict[str, Any], int | None]]:
    """What is asked: tool, arguments, and the most bytes that its text may have."""
    best = {"experiments": ["sweep"], "filter_string": BEST, "order_by": ["metrics.accuracy DESC"], "max_results": 20}
    return {
        f"best 20 of {RUNS} runs": ("search_runs", best, 3_000),
        f"history of {STEPS:,} steps": ("get_metric_history", {"runs": [curve], "metrics": ["loss"]}, 2_000),
        "one run": ("get_run", {"run": ids[0]}, None),
        "compare 2 runs": ("compare_runs", {"runs": ids[:2]}, None),
        "compare 5 runs": ("compare_runs", {"runs": ids[:5]}, None),
        "compare 100 runs": ("compare_runs", {"runs": ids[:100]}, 8_000),
        "rank 10": ("rank_runs", {"metric": "accuracy", "experiments": ["sweep"]}, None),
        "list experiments": ("search_experiments", {}, None),
    }


def raw(rest: Rest, ids: list[str], curve: str) -> dict[str, int]:
    """Bytes of MLflow's JSON for the same."""
    search = {"experiment_ids": ["1"], "filter": BEST, "order_by": ["metrics.accuracy DESC"], "max_results": 20}
    runs = [len(rest.get("runs/get", run_id=run_id)) for run_id in ids[:100]]
    return {
        f"best 20 of {RUNS} runs": len(rest.client.post("runs/search", json=search).content),
        f"history of {STEPS:,} steps": len(rest.get("metrics/get-history", run_id=curve, metric_key="loss")),
        "one run": runs[0],
        "compare 2 runs": sum(runs[:2]),
        "compare 5 runs": sum(runs[:5]),
        "compare 100 runs": sum(runs),
    }


async def requests(address: str, asked: Mapping[str, tuple[str, dict[str, Any], int | None]]) -> dict[str, list[str]]:
    """Paths that MLflow was asked for by each call; each call on a fresh engine, so that none finds names known."""
    paths: dict[str, list[str]] = {}
    for what, (tool, arguments, _) in asked.items():
        real = open_engine(Settings.load(tracking_uri=address))
        counting = CountingTransport(real.transports[0])
        engine = engine_over(real.location, real.settings, counting, counting)
        async with Client(build_server(engine)) as client:
            result = await client.call_tool(tool, arguments)
        await counting.aclose()
        if result.is_error:
            raise RuntimeError(f"{tool}: {result.content}")
        paths[what] = [path.rpartition("mlflow/")[2] for path in counting.paths]
    return paths


def main() -> None:
    sizes = Report("answers: bytes of whole answers against MLflow's own JSON")
    with mlflow_server() as address, Rest(address) as rest:
        ids = rest.seed_sweep("sweep", RUNS)
        curve = rest.seed_curve("curves", STEPS)
        asked = calls(ids, curve)
        reference = raw(rest, ids, curve)
        with StdioServer(MLFLOW_TRACKING_URI=address) as server:
            server.initialize()
            for what, (tool, arguments, most) in asked.items():
                result = server.ask(tool, **arguments)
                sizes.add(what, size(result), "bytes", reference=reference.get(what))
                sizes.add("  its text", size(result["content"][0]["text"]), "bytes", most=most)
                sizes.add("  its structured half", size(result["structuredContent"]), "bytes")
            _, listed = server.receive(server.send("tools/list"))
        characters = len(json.dumps(listed["tools"], separators=(",", ":"), ensure_ascii=False))
        sizes.add(
            f"default tools/list, {len(listed['tools'])} tools (characters / 4)", characters / 4, "tokens", most=9_000
        )
        paths = anyio.run(requests, address, asked)
    for what, some in paths.items():
        of_runs = [path for path in some if path.startswith("runs/")]
        if what.startswith("compare"):
            count = float(what.split()[1])
            sizes.add(f"requests about runs: {what}", len(of_runs), "", reference=count, most=1)
        sizes.add(f"requests in all: {what}", len(some), "")
    sizes.show()
    print("\nrequests: " + "; ".join(f"{what}: {', '.join(some)}" for what, some in paths.items()))


if __name__ == "__main__":
    run(main)
