"""google-adk: the tools of an MCP server with the function declarations that Gemini gets."""

import asyncio
import json
import sys

from google.adk.tools.mcp_tool.mcp_session_manager import StdioConnectionParams
from google.adk.tools.mcp_tool.mcp_toolset import McpToolset
from mcp import StdioServerParameters


async def main() -> None:
    parameters = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])
    toolset = McpToolset(connection_params=StdioConnectionParams(server_params=parameters, timeout=60))
    tools = {tool.name: tool for tool in await toolset.get_tools()}
    for tool in tools.values():
        assert tool._get_declaration() is not None

    async def call(name: str, **arguments: object) -> str:
        return str(await tools[name]._run_async_impl(args=arguments, tool_context=None, credential=None))

    await call("log_run", experiment="c", run_name="r", metrics={"accuracy": 0.9})
    found = await call("search_runs", experiments=["c"])
    wrong = await call("search_runs", max_results="many")
    await toolset.close()
    print(json.dumps({"tools": len(tools), "found": found, "refusal": wrong}))


asyncio.run(main())
