"""llama-index-tools-mcp: function tools with a pydantic model for each schema."""

import asyncio
import json
import sys

from llama_index.tools.mcp import BasicMCPClient, McpToolSpec


async def main() -> None:
    client = BasicMCPClient(sys.argv[1], args=sys.argv[2:], timeout=60)
    tools = await McpToolSpec(client=client).to_tool_list_async()
    async with client._run_session() as session:  # One process for all calls: mock mode forgets at its end.
        await session.call_tool("log_run", {"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}})
        found = await session.call_tool("search_runs", {"experiments": ["c"]})
        wrong = await session.call_tool("search_runs", {"max_results": "many"})
    print(json.dumps({"tools": len(tools), "found": str(found), "refusal": str(wrong)}))


asyncio.run(main())
