"""openai-agents: function tools of an MCP server, their schemas made strict where that is possible."""

import asyncio
import json
import sys

from agents import Agent
from agents.mcp import MCPServerStdio, MCPUtil
from agents.run_context import RunContextWrapper


async def main() -> None:
    parameters = {"command": sys.argv[1], "args": sys.argv[2:]}
    async with MCPServerStdio(params=parameters, client_session_timeout_seconds=60) as server:
        agent = Agent(name="a", mcp_servers=[server])
        tools = await MCPUtil.get_all_function_tools([server], True, RunContextWrapper(None), agent)
        await server.call_tool("log_run", {"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}})
        found = await server.call_tool("search_runs", {"experiments": ["c"]})
        wrong = await server.call_tool("search_runs", {"max_results": "many"})
    print(json.dumps({"tools": len(tools), "found": str(found), "refusal": str(wrong)}))


asyncio.run(main())
