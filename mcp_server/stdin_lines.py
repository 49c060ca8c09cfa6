"""Messages of the host, line by line from stdin. A line that is not a message is answered with an error at once."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from codecs import BOM_UTF8
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, cast

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCNotification,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from mcp_server.untrusted import shown

logger = logging.getLogger(__name__)

LINE_LIMIT: Final = 16 * 2**20
"""Bytes of one message, enough for a run with many inline artifacts; only the start of a longer one is kept."""
ID_SEARCH: Final = 65_536
"""Bytes at the start of an unreadable line that are searched for its id."""
LAST_ANSWERS_SECONDS: Final = 1.5
"""How long the last requests may take once stdin has ended; client libraries end the process after 2 seconds."""
_CHUNK: Final = 65_536

Id = str | int | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a line is not a message, and the ids of the requests in it; None where no id can be read."""

    code: int
    message: str
    ids: tuple[Id, ...] = (None,)

    def replies(self) -> list[JSONRPCError]:
        error = ErrorData(code=self.code, message=self.message)
        return [JSONRPCError(jsonrpc="2.0", id=identifier, error=error) for identifier in self.ids]


class StdinLines:
    """The lines of a file descriptor that hold a JSON-RPC message; what the SDK's stdio transport reads."""

    def __init__(self, descriptor: int, limit: int = LINE_LIMIT) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self.replies: Any = None
        """The stream on which refused lines are answered; set before the first line is read."""
        self.batches: Any = None
        """Where the answers to batches are collected; set at the same time."""

    async def __aiter__(self) -> AsyncIterator[str]:
        async for line, complete in self._lines():
            if complete and self.batches.served and line.lstrip().startswith(b"[") and (members := _read(line)):
                for member in await self.batches.begun(members):
                    await self.batches.passed(member.encode())
                    yield member
                continue
            refusal = refusal_of(line) if complete else _too_long(line, self._limit)
            if refusal is None:
                await self.batches.passed(line)
                yield line.decode()
                continue
            start = shown(line[:400].decode(errors="replace"))
            logger.warning("A message of the host was refused (%s): %s", refusal.message, start)
            for reply in refusal.replies():
                await self.replies.send(SessionMessage(reply))
        # The SDK cancels what is running as soon as this ends; `printf ... | mcp-server-mlflow` reads the answers.
        with anyio.move_on_after(LAST_ANSWERS_SECONDS):
            await self.batches.all_answered()

    async def _lines(self) -> AsyncIterator[tuple[bytes, bool]]:
        """Each line, and whether it is complete; only the start of a line that is too long.

        A byte order mark, with which .NET begins a stream, is left out as RFC 8259 allows.
        """
        line, complete = bytearray(), True
        while chunk := await anyio.to_thread.run_sync(os.read, self._descriptor, _CHUNK, abandon_on_cancel=True):
            *ended, rest = chunk.split(b"\n")
            for part in ended:
                line += part if complete else b""
                complete = complete and len(line) <= self._limit
                if line.strip():
                    yield bytes(line).removeprefix(BOM_UTF8), complete
                line, complete = bytearray(), True
            line += rest if complete else b""
            if len(line) > self._limit:
                del line[ID_SEARCH:]
                complete = False
        if line.strip():
            yield bytes(line).removeprefix(BOM_UTF8), complete


def claim_stdin() -> int:
    """Moves stdin to a new descriptor and leaves an empty one in its place: no child process reads the host's messages.

    Returns: the new descriptor.
    """
    descriptor = os.dup(sys.stdin.fileno())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    if sys.platform == "win32":
        from mcp.os.win32.utilities import rebind_std_handle_to_fd

        rebind_std_handle_to_fd(sys.stdin.fileno())
    return descriptor


def refusal_of(line: bytes) -> Refusal | None:
    """Why a line is not a JSON-RPC message; None when it is one."""
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
            return Refusal(PARSE_ERROR, "Parse error: this line is not valid JSON.", (id_in(line),))
        return _not_a_message(_read(line))
    if isinstance(message, JSONRPCNotification) and b'"id"' in line and "id" in (_read(line) or {}):
        return Refusal(INVALID_REQUEST, "Invalid request: an id must be a string or an integer.")
    if (
        isinstance(message, JSONRPCError)
        and b'"method"' in line
        and "method" in (read := cast("dict[str, Any]", _read(line) or {}))
    ):
        return Refusal(INVALID_REQUEST, "Invalid request: only an answer has an error.", (_id(read),))
    return None


_NO_BATCH: Final = "only revision 2025-03-26 has batches, and none inside another"


def _not_a_message(value: Any) -> Refusal:
    if isinstance(value, list):
        batch = [cast("dict[str, Any]", item) for item in cast("list[Any]", value) if isinstance(item, dict)]
        ids = tuple(_id(message) for message in batch if "method" in message and "id" in message)
        wrong = f"{_NO_BATCH}; send one message per line" if value else "the batch is empty"
        return Refusal(INVALID_REQUEST, f"Invalid request: {wrong}.", ids or (None,))
    if not isinstance(value, dict):
        return Refusal(INVALID_REQUEST, "Invalid request: a message must be a JSON object.")
    message = cast("dict[str, Any]", value)
    if message.get("jsonrpc") != "2.0":
        wrong = 'jsonrpc is not "2.0"'
    elif "result" in message or "error" in message:
        # A response to a request of this server; its id is not one of the host's.
        wrong = "result and error must be objects, and the id must be that of the request"
        return Refusal(INVALID_REQUEST, f"Invalid response: {wrong}.")
    elif not isinstance(message.get("method"), str):
        wrong = "method is missing" if "method" not in message else "method is not a string"
    elif "params" in message and not isinstance(message["params"], dict):
        wrong = "params is not an object"
    else:
        wrong = "the message does not have a form that the protocol defines"
    return Refusal(INVALID_REQUEST, f"Invalid request: {wrong}.", (_id(message),))


def _too_long(start: bytes, limit: int) -> Refusal:
    message = f"Invalid request: a message may have at most {limit:,} bytes. Give long texts as files."
    return Refusal(INVALID_REQUEST, message, (id_in(start),))


def id_in(line: bytes) -> Id:
    """The id of a request that cannot be parsed, read from the start of it; None where that is not certain."""
    depth, key, before = 0, b"", b""
    for match in _TOKEN.finditer(line, 0, ID_SEARCH):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and before in (b"{", b","):
            key = token
        elif depth == 1 and before == b":" and key == b'"id"':
            return _id({"id": _read(token)})
        before = token
    return None


_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+')


def _read(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # A number of more digits than Python reads, for one.
        return None


def _id(message: dict[str, Any]) -> Id:
    identifier = message.get("id")
    if isinstance(identifier, str):
        # Half of a surrogate pair, which no answer can carry.
        return identifier if identifier == identifier.encode(errors="replace").decode() else None
    return identifier if isinstance(identifier, int) and not isinstance(identifier, bool) else None
