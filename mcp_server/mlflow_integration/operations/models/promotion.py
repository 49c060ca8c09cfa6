"""Moving an alias or a stage from one model version to another, recorded so that it can be undone.

The record is written before the alias moves, and the move is one request: a process that dies in between leaves
the alias where it was, and readers of the record skip the entry for a move that never happened.

MLflow has no compare-and-set. The alias is read just before and just after the move, so of two promotions at once
the one whose move did not last reports it, unless both reads fall between the other's read and write.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal

from mcp_server.errors import (
    ConflictError,
    DeadlineError,
    MlflowToolError,
    NotFoundError,
    TrackingServerError,
    UnsupportedError,
)
from mcp_server.mlflow_integration.entities import ModelVersion, RegisteredModel
from mcp_server.mlflow_integration.operations.deadlines import reserve_seconds, stop_before_deadline
from mcp_server.mlflow_integration.operations.models.promotion_history import (
    Pointer,
    PromotionEvent,
    event_tag,
    events_of,
)
from mcp_server.mlflow_integration.operations.searching.filters import quoted
from mcp_server.mlflow_integration.rest.registry_api import RegistryApi

VERSIONS_SHOWN: Final = 1_000
"""Newest versions whose record is read for display; decisions read every version."""
_PAGE: Final = 200
"""Versions per request. MLflow takes up to 200,000, but a version may carry 8,000 characters per tag."""
_READS: Final = 3
"""Times the alias is read after a lost answer; the transport waits between its own tries."""


class Promotions:
    """The aliases and stages of one registry, and the record of their moves."""

    def __init__(self, api: RegistryApi) -> None:
        self._api = api

    async def current_version(self, name: str, pointer: Pointer) -> ModelVersion | None:
        """The version that has the alias or stage; None if none has, or there is no such model."""
        try:
            number = pointer.current_version(await self._api.get_registered_model(name))
            return await self._api.get_model_version(name, number) if number else None
        except NotFoundError:
            return None

    async def history(self, name: str, *, versions: float = math.inf) -> tuple[PromotionEvent, ...]:
        """Every promotion and rollback of a model's newest `versions` versions, oldest first."""
        events: list[PromotionEvent] = []
        token, read = "", 0
        while read < versions:
            page = await self._api.search_model_versions(
                f"name = {quoted(name)}", order_by=["version_number DESC"], max_results=_PAGE, page_token=token
            )
            events += [event for version in page.items for event in events_of(version)]
            token, read = page.next_page_token, read + len(page.items)
            if not token:
                break
        return tuple(sorted(events, key=lambda event: event.time))

    async def never_had_a_version(self, name: str, pointer: Pointer) -> bool:
        """Whether no version has the alias or stage and none is on record as having had it."""
        try:
            model = await self._api.get_registered_model(name)
        except NotFoundError:
            return True
        if pointer.current_version(model):
            return False
        return not any(event.concerns(pointer) for event in await self.history(name))

    async def move(
        self,
        pointer: Pointer,
        version: ModelVersion,
        *,
        from_version: str,
        kind: Literal["promotion", "rollback"],
        by: str,
        reason: str,
        gates: Sequence[Mapping[str, str]] = (),
    ) -> PromotionEvent:
        """Points an alias or stage to a version and records it.

        `from_version` is the current version when the decision was made, "" for none.
        Raises: ConflictError: somebody else moved it meanwhile. TrackingServerError: it did not move, or MLflow no
            longer answers, so nobody can know; the text says which. UnsupportedError: this MLflow has no aliases.
        """
        moment = int(time.time() * 1_000)
        event = PromotionEvent(kind, pointer.key, version.version, from_version, moment, by, reason, tuple(gates))
        tag, text = event_tag(event)
        try:
            await self._api.set_model_version_tag(version.name, version.version, tag, text)
            await self._need_current(version.name, pointer, from_version)
        except TrackingServerError as error:
            await self._withdraw(version, tag)
            raise _not_moved(pointer, from_version, error) from error
        except MlflowToolError:
            await self._withdraw(version, tag)
            raise
        try:
            await self._point(version, pointer, from_version)
        except _Unknown as unknown:
            raise TrackingServerError(str(unknown), carried_out=False) from unknown
        except MlflowToolError:
            await self._withdraw(version, tag)
            raise
        return event

    async def _point(self, version: ModelVersion, pointer: Pointer, from_version: str) -> None:
        """The move itself. When its answer is lost the alias is read again, so that the caller learns what happened."""
        lost: TrackingServerError | None = None
        with stop_before_deadline(reserve_seconds()) as scope:
            try:
                await self._send(version, pointer)
            except UnsupportedError:
                raise
            except TrackingServerError as error:
                if error.carried_out is False:
                    raise _not_moved(pointer, from_version, error) from error
                lost = error
        if scope.cancelled_caught:
            lost = DeadlineError("MLflow did not answer in time. get_model shows whether it moves later.")
        current = await self._read_again(version.name, pointer, lost)
        if current is None or current == version.version:
            return
        if lost is not None and current == from_version:
            raise _not_moved(pointer, from_version, lost) from lost
        raise _moved_by_somebody(version.name, pointer, current)

    async def _read_again(self, name: str, pointer: Pointer, lost: TrackingServerError | None) -> str | None:
        """The current version after a move; None if it cannot be read although MLflow confirmed the move.

        Raises: _Unknown: neither the move was confirmed nor can the alias be read.
        """
        problem: MlflowToolError | None = None
        for _ in range(_READS):
            try:
                return pointer.current_version(await self._api.get_registered_model(name))
            except TrackingServerError as error:
                problem = error
        if lost is None:
            return None
        raise _Unknown(
            f"It is not known whether the {pointer} of '{name}' moved: the answer to the move was lost, and so was "
            f"every answer after it. {problem} get_model shows it as soon as MLflow answers."
        )

    async def _send(self, version: ModelVersion, pointer: Pointer) -> None:
        if pointer.stage:
            await self._api.transition_stage(version.name, version.version, pointer.stage)
            return
        try:
            await self._api.set_alias(version.name, pointer.alias, version.version)
        except UnsupportedError as error:
            raise UnsupportedError(f"{error} MLflow has aliases since version 2.3; give stage= instead.") from error

    async def _need_current(self, name: str, pointer: Pointer, version: str) -> None:
        current = pointer.current_version(await self._api.get_registered_model(name))
        if current != version:
            raise _moved_by_somebody(name, pointer, current)

    async def _withdraw(self, version: ModelVersion, tag: str) -> None:
        """Removes the record of a move that did not happen."""
        # The caller must learn about the failure of the move; readers skip an entry for a move that never happened.
        with suppress(MlflowToolError):
            await self._api.delete_model_version_tag(version.name, version.version, tag)


class _Unknown(Exception):
    """It cannot be known whether the alias moved."""


def _not_moved(pointer: Pointer, version: str, error: TrackingServerError) -> TrackingServerError:
    where = f"still points to version {version}" if version else "still points to no version"
    return TrackingServerError(f"Not moved: the {pointer} {where}. {error}", carried_out=False)


def _moved_by_somebody(name: str, pointer: Pointer, current: str) -> ConflictError:
    now = f"version {current}" if current else "no version"
    return ConflictError(
        f"Somebody else moved {pointer} of '{name}' meanwhile: it points to {now} now. "
        "get_model shows the promotions; check them before you decide again."
    )


def aliases_of(model: RegisteredModel) -> str:
    """As a person reads them: `champion (version 3), challenger (version 4)`."""
    listed = ", ".join(f"{alias} (version {at})" for alias, at in sorted(model.version_by_alias.items()))
    return listed or "none"
