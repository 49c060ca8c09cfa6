"""The official Python SDK 2, in both protocol eras."""

import asyncio
import json
import sys

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters


async def session(mode: str) -> dict[str, object]:
    parameters = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])
    async with Client(parameters, mode=mode) as client:
        tools = (await client.list_tools()).tools
        await client.call_tool("log_run", {"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}})
        found = await client.call_tool("search_runs", {"experiments": ["c"]})
        wrong = await client.call_tool("search_runs", {"max_results": "many"})
    return {"tools": len(tools), "found": json.dumps(found.structured_content), "refusal": wrong.content[0].text}


async def main() -> None:
    first, second = await session("auto"), await session("legacy")
    assert first["tools"] == second["tools"]
    print(json.dumps(second))


asyncio.run(main())
