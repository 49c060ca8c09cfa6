"""The work of an agent without a language model: a scripted MCP client finds, compares, registers and promotes.

    python examples/train_sklearn.py --depth 1
    python examples/train_sklearn.py --depth 3
    python examples/scripted_client.py [--experiment iris]

The server is started as a host starts it, over stdio, and uses the same MLflow as the training script.
"""

# ruff: noqa: T201 - it prints for a person

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters


class Server:
    """Tools by name; prints what an agent would read."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The structured half of the answer; the text is printed. An error ends the script with its sentence."""
        result = await self._client.call_tool(tool, arguments)
        text = "\n".join(part.text for part in result.content if part.type == "text")
        print(f"\n> {tool} {arguments}\n{text}")
        if result.is_error:
            raise SystemExit(1)
        return result.structured_content or {}


async def main(experiment: str) -> None:
    parameters = StdioServerParameters(command=sys.executable, args=["-m", "mcp_server"], env=dict(os.environ))
    async with Client(parameters) as client:
        server = Server(client)

        found = await server.ask("search_runs", experiments=[experiment], filter_string="metrics.accuracy > 0.5")
        runs = column(found, "run_id")
        if len(runs) > 1:
            await server.ask("compare_runs", runs=runs[:10])
        await server.ask("get_metric_history", runs=runs[:3], metrics=["val_loss"], max_points=8)
        ranking = await server.ask("rank_runs", metric="accuracy", experiments=[experiment])
        best = column(ranking, "run_id")[0]

        version = (await server.ask("register_model", name="iris-classifier", run=best))["version"]
        gates = ["metrics.accuracy >= 0.9"]
        plan = {"name": "iris-classifier", "version": version, "gates": gates}
        await server.ask("promote_model", **plan, dry_run=True)
        # This client cannot ask a person, so it confirms by name that another version may lose the alias.
        await server.ask("promote_model", **plan, reason="best of the experiment", confirm_name="iris-classifier")
        await server.ask("get_model", name="iris-classifier")


def column(table: dict[str, Any], name: str) -> list[Any]:
    """One column of a table answer."""
    place = table["columns"].index(name)
    return [row[place] for row in table["rows"]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What an agent does, without one.")
    parser.add_argument("--experiment", default="iris")
    asyncio.run(main(parser.parse_args().experiment))
