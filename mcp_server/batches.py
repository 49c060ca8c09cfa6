"""Batches of messages on one line, which only revision 2025-03-26 of the protocol has."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import INVALID_REQUEST, JSONRPCError, JSONRPCResponse
from pydantic import RootModel

from mcp_server.stdin_lines import Id, Refusal, id_in, refusal_of

REVISION: Final = "2025-03-26"

_CANCELLED: Final = "notifications/cancelled"


class Sending(Protocol):
    """The stream of messages to the host."""

    async def send(self, item: SessionMessage, /) -> None: ...
    async def aclose(self) -> None: ...


class Answers(RootModel[list[JSONRPCResponse | JSONRPCError]]):
    """The answers to a batch, as they go onto one line."""


@dataclass(eq=False)
class _Batch:
    waiting: set[Id] = field(default_factory=set[Id])
    answers: list[JSONRPCResponse | JSONRPCError] = field(default_factory=list[JSONRPCResponse | JSONRPCError])


class Batches:
    """Sends the server's messages to the host; holds back the answers to a batch until all of them are there."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._batch_by_id: dict[Id, _Batch] = {}
        self._unanswered: set[Id] = set()
        self._is_answered = anyio.Event()
        self.served = False
        """Whether the negotiated revision has batches."""

    async def send(self, item: SessionMessage, /) -> None:
        answer = item.message
        await self._send(item)
        if isinstance(answer, JSONRPCResponse | JSONRPCError):
            self._settle(answer.id)

    async def all_answered(self) -> None:
        """Waits until no request is left that was passed on and not answered."""
        while self._unanswered:
            self._is_answered = anyio.Event()
            await self._is_answered.wait()

    async def _send(self, item: SessionMessage) -> None:
        answer = item.message
        if isinstance(answer, JSONRPCResponse) and "protocolVersion" in answer.result:
            self.served = answer.result["protocolVersion"] == REVISION
        if isinstance(answer, JSONRPCResponse | JSONRPCError) and (batch := self._batch_by_id.pop(answer.id, None)):
            batch.answers.append(answer)
            await self._done(batch, answer.id)
        else:
            await self._sending.send(item)

    async def begun(self, members: list[Any]) -> list[str]:
        """The messages of a batch, a line each. Members that are not messages are refused among the answers."""
        batch, lines = _Batch(), list[str]()
        for member in members:
            line = json.dumps(member)
            if refusal := refusal_of(line.encode()) or self._unfit(cast("dict[str, Any]", member)):
                batch.answers += refusal.replies()
                continue
            lines.append(line)
            if "method" in member and "id" in member:
                batch.waiting.add(member["id"])
                self._batch_by_id[member["id"]] = batch
        await self._done(batch, None)
        return lines

    async def passed(self, line: bytes) -> None:
        """Notes what a message to the server changes: a request that is cancelled is never answered."""
        if b'"method"' in line and (request := id_in(line)) is not None:
            self._unanswered.add(request)
        if (self._unanswered or self._batch_by_id) and b"cancelled" in line:
            message: dict[str, Any] = json.loads(line)
            params: dict[str, Any] = message.get("params") or {}
            identifier = params.get("requestId") if message.get("method") == _CANCELLED else None
            if not isinstance(identifier, str | int):
                return
            self._settle(identifier)
            if batch := self._batch_by_id.pop(identifier, None):
                await self._done(batch, identifier)

    def _settle(self, identifier: Id) -> None:
        self._unanswered.discard(identifier)
        if not self._unanswered:
            self._is_answered.set()

    def _unfit(self, message: dict[str, Any]) -> Refusal | None:
        if message.get("method") == "initialize":
            return Refusal(INVALID_REQUEST, "Invalid request: initialize cannot be in a batch.", (message.get("id"),))
        if "method" in message and message.get("id") in self._batch_by_id:
            return Refusal(INVALID_REQUEST, "Invalid request: a request with this id has no answer yet.")
        return None

    async def _done(self, batch: _Batch, identifier: Id) -> None:
        batch.waiting.discard(identifier)
        if batch.answers and not batch.waiting:
            # The transport writes whatever message there is as a line of JSON.
            await self._sending.send(SessionMessage(cast("JSONRPCResponse", Answers(batch.answers))))

    async def aclose(self) -> None:
        await self._sending.aclose()

    async def __aenter__(self) -> Batches:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
