"""pydantic-ai: the toolset of an MCP server, and its schemas in the forms for OpenAI and Gemini."""

import asyncio
import json
import sys

from pydantic_ai import RunContext
from pydantic_ai.mcp import MCPToolset, StdioTransport
from pydantic_ai.models.test import TestModel
from pydantic_ai.profiles.google import GoogleJsonSchemaTransformer
from pydantic_ai.profiles.openai import OpenAIJsonSchemaTransformer
from pydantic_ai.usage import RunUsage


async def main() -> None:
    server = MCPToolset(StdioTransport(command=sys.argv[1], args=sys.argv[2:]), init_timeout=60)
    async with server:
        context = RunContext(deps=None, model=TestModel(), usage=RunUsage())
        tools = {name: tool.tool_def for name, tool in (await server.get_tools(context)).items()}
        parameters = {}
        for name, tool in tools.items():
            forms = [OpenAIJsonSchemaTransformer, GoogleJsonSchemaTransformer]
            openai, google = (form(tool.parameters_json_schema).walk()["properties"] for form in forms)
            assert set(openai) == set(google) == set(tool.parameters_json_schema["properties"])
            parameters[name] = list(openai)
        await server.direct_call_tool("log_run", {"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}})
        found = await server.direct_call_tool("search_runs", {"experiments": ["c"], "columns": ["metrics.accuracy"]})
        try:
            wrong = str(await server.direct_call_tool("search_runs", {"max_results": "many"}))
        except Exception as error:
            wrong = str(error)
    print(json.dumps({"parameters": parameters, "found": str(found), "refusal": wrong}))


asyncio.run(main())
