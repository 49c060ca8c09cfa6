"""fastmcp's client."""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport


async def main() -> None:
    async with Client(StdioTransport(command=sys.argv[1], args=sys.argv[2:])) as client:
        tools = await client.list_tools()
        await client.call_tool("log_run", {"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}})
        found = await client.call_tool("search_runs", {"experiments": ["c"]})
        wrong = await client.call_tool("search_runs", {"max_results": "many"}, raise_on_error=False)
    print(
        json.dumps(
            {"tools": len(tools), "found": str(found.data) + str(found.content), "refusal": wrong.content[0].text}
        )
    )


asyncio.run(main())
