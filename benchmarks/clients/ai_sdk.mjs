// Vercel's AI SDK: the tools of an MCP server as a model gets them.
import { experimental_createMCPClient as experimental, createMCPClient as stable } from "@ai-sdk/mcp";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [command, ...args] = process.argv.slice(2);
const transport = new StdioClientTransport({ command, args, env: process.env });
const client = await (stable ?? experimental)({ transport });
const tools = await client.tools();
const call = (name, args) => tools[name].execute(args, { toolCallId: name, messages: [] });
await call("log_run", { experiment: "c", run_name: "r", metrics: { accuracy: 0.9 } });
const found = await call("search_runs", { experiments: ["c"] });
const wrong = await call("search_runs", { max_results: "many" }).catch((error) => String(error));
await client.close();
console.log(
  JSON.stringify({ tools: Object.keys(tools).length, found: JSON.stringify(found), refusal: JSON.stringify(wrong) }),
);
