"""Pure functions over entities: compare, rank, describe, gate. No I/O, no MLflow, no MCP."""
