"""openai-agents: function tools of an MCP server, their schemas made strict where that is possible."""

import asyncio
import json
import sys

from agents import Agent
from agents.mcp import MCPServerStdio, MCPUtil
from agents.run_context import RunContextWrapper
from agents.tool_context import ToolContext


async def main() -> None:
    parameters = {"command": sys.argv[1], "args": sys.argv[2:]}
    async with MCPServerStdio(params=parameters, client_session_timeout_seconds=60) as server:
        agent = Agent(name="a", mcp_servers=[server])
        found = await MCPUtil.get_all_function_tools([server], True, RunContextWrapper(None), agent)
        tools = {tool.name: tool for tool in found}

        async def call(name: str, **arguments: object) -> str:
            text = json.dumps(arguments)
            context = ToolContext(None, tool_name=name, tool_call_id="1", tool_arguments=text)
            return str(await tools[name].on_invoke_tool(context, text))

        await call("log_run", experiment="c", run_name="r", metrics={"accuracy": 0.9})
        # A strict schema requires every argument: null is what a model sends for one that it leaves out.
        left_out = dict.fromkeys(tools["search_runs"].params_json_schema["properties"])
        found = await call("search_runs", **{**left_out, "experiments": ["c"], "columns": ["metrics.accuracy"]})
        wrong = await call("search_runs", max_results="many")
    seen = {
        "parameters": {name: list(tool.params_json_schema["properties"]) for name, tool in tools.items()},
        "strict": [name for name, tool in tools.items() if tool.strict_json_schema],
        "found": found,
        "refusal": wrong,
    }
    print(json.dumps(seen))


asyncio.run(main())
