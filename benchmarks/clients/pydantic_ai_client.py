"""pydantic-ai: the toolset of an MCP server, as an agent uses it."""

import asyncio
import json
import sys

from pydantic_ai.mcp import MCPToolset, StdioTransport


async def main() -> None:
    server = MCPToolset(StdioTransport(command=sys.argv[1], args=sys.argv[2:]), init_timeout=60)
    async with server:
        tools = await server.list_tools()
        await server.direct_call_tool("log_run", {"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}})
        found = await server.direct_call_tool("search_runs", {"experiments": ["c"]})
        try:
            wrong = str(await server.direct_call_tool("search_runs", {"max_results": "many"}))
        except Exception as error:
            wrong = str(error)
    print(json.dumps({"tools": len(tools), "found": str(found), "refusal": wrong}))


asyncio.run(main())
