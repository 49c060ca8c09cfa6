"""fastmcp: its client, the tools of its proxy, and the Python types that it makes of answers."""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from fastmcp.server.providers.proxy import ProxyTool
from fastmcp.utilities.json_schema_type import json_schema_to_type


async def main() -> None:
    async with Client(StdioTransport(command=sys.argv[1], args=sys.argv[2:])) as client:
        listed = await client.list_tools()
        tools = {tool.name: ProxyTool.from_mcp_tool(lambda: client, tool) for tool in listed}
        for tool in tools.values():
            if tool.output_schema:
                json_schema_to_type(tool.output_schema)
        await client.call_tool("log_run", {"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}})
        found = await client.call_tool("search_runs", {"experiments": ["c"], "columns": ["metrics.accuracy"]})
        wrong = await client.call_tool("search_runs", {"max_results": "many"}, raise_on_error=False)
    seen = {
        "parameters": {name: list(tool.parameters["properties"]) for name, tool in tools.items()},
        # The typed form alone: it is empty where a schema declares nothing.
        "found": str(found.data),
        "refusal": wrong.content[0].text,
    }
    print(json.dumps(seen))


asyncio.run(main())
