"""Charts as PNG with matplotlib, drawn only in a process of their own (see `mcp_server.worker`)."""
