"""mcp-use: a session of its client."""

import asyncio
import json
import sys

from mcp_use import MCPClient


async def main() -> None:
    configuration = {"mcpServers": {"mlflow": {"command": sys.argv[1], "args": sys.argv[2:]}}}
    client = MCPClient.from_dict(configuration) if hasattr(MCPClient, "from_dict") else MCPClient(configuration)
    session = await client.create_session("mlflow")
    tools = await session.list_tools()
    await session.call_tool("log_run", {"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}})
    found = await session.call_tool("search_runs", {"experiments": ["c"]})
    wrong = await session.call_tool("search_runs", {"max_results": "many"})
    await client.close_all_sessions()
    print(json.dumps({"tools": len(tools), "found": str(found), "refusal": str(wrong)}))


asyncio.run(main())
