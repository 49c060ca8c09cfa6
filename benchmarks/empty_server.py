"""The floor: a server with one trivial tool on the same SDK. start.py measures ours against it."""

from mcp.server import MCPServer

server = MCPServer(name="empty")


@server.tool()
def ping() -> str:
    """Answers."""
    return "pong"


if __name__ == "__main__":
    server.run("stdio")
