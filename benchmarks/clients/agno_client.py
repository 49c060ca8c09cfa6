"""agno: the MCP tools of its agents."""

import asyncio
import json
import shlex
import sys

from agno.tools.mcp import MCPTools


async def main() -> None:
    async with MCPTools(command=shlex.join(sys.argv[1:]), timeout_seconds=60) as toolkit:
        tools = toolkit.functions

        async def call(name: str, **arguments: object) -> str:
            try:
                return str(await toolkit.session.call_tool(name, arguments))
            except Exception as error:
                return str(error)

        await call("log_run", experiment="c", run_name="r", metrics={"accuracy": 0.9})
        found = await call("search_runs", experiments=["c"])
        wrong = await call("search_runs", max_results="many")
    print(json.dumps({"tools": len(tools), "found": found, "refusal": wrong}))


asyncio.run(main())
