"""strands-agents: the MCP client of its agents."""

import json
import sys

from mcp import StdioServerParameters, stdio_client
from strands.tools.mcp import MCPClient

parameters = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])
with MCPClient(lambda: stdio_client(parameters), startup_timeout=60) as client:
    tools = client.list_tools_sync()
    logged = {"experiment": "c", "run_name": "r", "metrics": {"accuracy": 0.9}}
    client.call_tool_sync("1", "log_run", logged)
    found = client.call_tool_sync("2", "search_runs", {"experiments": ["c"]})
    wrong = client.call_tool_sync("3", "search_runs", {"max_results": "many"})
print(json.dumps({"tools": len(tools), "found": str(found), "refusal": str(wrong)}))
