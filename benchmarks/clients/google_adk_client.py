"""google-adk: the tools of an MCP server with the function declarations that Gemini gets, in both their forms."""

import asyncio
import json
import sys

from google.adk.tools._gemini_schema_util import _to_gemini_schema
from google.adk.tools.mcp_tool.mcp_session_manager import StdioConnectionParams
from google.adk.tools.mcp_tool.mcp_toolset import McpToolset
from mcp import StdioServerParameters


async def main() -> None:
    parameters = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])
    toolset = McpToolset(connection_params=StdioConnectionParams(server_params=parameters, timeout=60))
    tools = {tool.name: tool for tool in await toolset.get_tools()}
    parameters_by_tool = {}
    for name, tool in tools.items():
        assert tool._get_declaration().name == name
        schema = _to_gemini_schema(tool._mcp_tool.model_dump(by_alias=True)["inputSchema"])
        parameters_by_tool[name] = list(schema.properties or {})

    async def call(name: str, **arguments: object) -> str:
        return str(await tools[name]._run_async_impl(args=arguments, tool_context=None, credential=None))

    await call("log_run", experiment="c", run_name="r", metrics={"accuracy": 0.9})
    found = await call("search_runs", experiments=["c"], columns=["metrics.accuracy"])
    wrong = await call("search_runs", max_results="many")
    await toolset.close()
    print(json.dumps({"parameters": parameters_by_tool, "found": found, "refusal": wrong}))


asyncio.run(main())
