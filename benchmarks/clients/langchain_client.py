"""langchain-mcp-adapters: LangChain tools of an MCP server, in the form that chat models get."""

import asyncio
import json
import sys

from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools


async def main() -> None:
    connection = {"command": sys.argv[1], "args": sys.argv[2:], "transport": "stdio"}
    client = MultiServerMCPClient({"mlflow": connection})
    async with client.session("mlflow") as session:
        tools = {tool.name: tool for tool in await load_mcp_tools(session)}
        functions = [convert_to_openai_tool(tool)["function"] for tool in tools.values()]
        await tools["log_run"].ainvoke({"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}})
        found = await tools["search_runs"].ainvoke({"experiments": ["c"], "columns": ["metrics.accuracy"]})
        try:
            wrong = str(await tools["search_runs"].ainvoke({"max_results": "many"}))
        except Exception as error:
            wrong = str(error)
    parameters = {function["name"]: list(function["parameters"]["properties"]) for function in functions}
    print(json.dumps({"parameters": parameters, "found": str(found), "refusal": wrong}))


asyncio.run(main())
