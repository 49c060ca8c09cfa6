"""smolagents: tools of an MCP server through mcpadapt."""

import json
import sys

from mcp import StdioServerParameters
from smolagents import ToolCollection

parameters = StdioServerParameters(command=sys.argv[1], args=sys.argv[2:])
with ToolCollection.from_mcp(parameters, trust_remote_code=True, structured_output=True) as collection:
    tools = {tool.name: tool for tool in collection.tools}
    tools["log_run"](experiment="c", run_name="r", metrics={"accuracy": 0.9})
    found = str(tools["search_runs"](experiments=["c"]))
    try:
        wrong = str(tools["search_runs"](max_results="many"))
    except Exception as error:
        wrong = str(error)
print(json.dumps({"tools": len(tools), "found": found, "refusal": wrong}))
