"""An MCP server that lets AI agents work with MLflow."""

__version__ = "0.1.0"
