"""`python -m mcp_server` is the console script."""

from mcp_server.cli import main

main()
