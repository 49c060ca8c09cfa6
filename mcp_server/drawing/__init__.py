"""Charts as PNG with matplotlib, drawn only in a separate process (see `mcp_server.worker`)."""
