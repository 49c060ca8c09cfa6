"""langchain-mcp-adapters: LangChain tools of an MCP server."""

import asyncio
import json
import sys

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools


async def main() -> None:
    connection = {"command": sys.argv[1], "args": sys.argv[2:], "transport": "stdio"}
    client = MultiServerMCPClient({"mlflow": connection})
    async with client.session("mlflow") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}
        await tools["log_run"].ainvoke({"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}})
        found = await tools["search_runs"].ainvoke({"experiments": ["c"]})
        try:
            wrong = str(await tools["search_runs"].ainvoke({"max_results": "many"}))
        except Exception as error:
            wrong = str(error)
    print(json.dumps({"tools": len(tools), "found": str(found), "refusal": wrong}))


asyncio.run(main())
