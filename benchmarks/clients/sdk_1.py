"""The official Python SDK 1, which many hosts still use."""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main() -> None:
    parameters = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
        await session.call_tool("log_run", {"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}})
        found = await session.call_tool("search_runs", {"experiments": ["c"]})
        wrong = await session.call_tool("search_runs", {"max_results": "many"})
    answer = {"tools": len(tools), "found": json.dumps(found.structuredContent), "refusal": wrong.content[0].text}
    print(json.dumps(answer))


asyncio.run(main())
