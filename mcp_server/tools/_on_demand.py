"""Tools that are built when a client asks for them: a host waits for `initialize` first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mcp.server.mcpserver.tools import Tool, ToolManager

from mcp_server.tools._define import Definition


class ToolsOnDemand(ToolManager):
    """The tools of a server; each is built when it is first listed or called.

    The argument models and schemas of all tools would take an eighth of the time until `initialize` is answered.
    """

    def __init__(self, definitions: Sequence[Definition], build: Callable[[Definition], Tool]) -> None:
        super().__init__()
        self._definitions = {definition.name: definition for definition in definitions}
        self._build = build

    def get_tool(self, name: str) -> Tool | None:
        if name in self._definitions and name not in self._tools:
            self._tools[name] = self._build(self._definitions[name])
        return super().get_tool(name)

    def list_tools(self) -> list[Tool]:
        """In the order of the registry, whichever was called first."""
        names = dict.fromkeys([*self._definitions, *self._tools])
        return [tool for name in names if (tool := self.get_tool(name))]
