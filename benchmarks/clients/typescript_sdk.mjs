// The official TypeScript SDK, on which most hosts are built.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const [command, ...args] = process.argv.slice(2);
const client = new Client({ name: "compatibility", version: "1" });
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
const { tools } = await client.listTools();
const call = (name, args) => client.callTool({ name, arguments: args });
await call("log_run", { experiment: "c", run_name: "r", metrics: { accuracy: 0.9 } });
const found = await call("search_runs", { experiments: ["c"] });
const wrong = await call("search_runs", { max_results: "many" });
await client.close();
console.log(
  JSON.stringify({ tools: tools.length, found: JSON.stringify(found), refusal: JSON.stringify(wrong) }),
);
