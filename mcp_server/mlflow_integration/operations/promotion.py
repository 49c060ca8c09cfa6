"""Moving an alias or a stage from one model version to another, with a history that leads back.

Every promotion and rollback is a tag on the version it was given to, so the history is MLflow's own data: any
client reads it, after any restart. The tag is written before the alias moves, and the move is one request; a
process that dies in between leaves the alias with the holder it had, and the reader of the history skips the
entry that never came true.

What MLflow cannot guarantee: it has no compare-and-set. The alias is read just before and just after the move,
so of two promotions at once the earlier one is told that it lost, unless both reads fall between the other's.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from mcp_server.errors import ConflictError, InvalidInputError, NotFoundError, UnsupportedError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import ModelVersion
from mcp_server.mlflow_integration.operations.filters import quoted
from mcp_server.mlflow_integration.rest.registry_api import RegistryApi

VERSIONS_READ: Final = 1_000
"""Newest versions whose tags make up the history; ten pages."""

_PAGE: Final = 100
_STAGES: Final = ("Staging", "Production")
_EVENT_KEY: Final = re.compile(rf"{re.escape(tag_names.PROMOTION_PREFIX)}(?P<seat>.+)\.(?P<time>\d+)")
_ALIAS: Final = re.compile(r"[\w-]{1,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Seat:
    """What one version of a model holds at a time: an alias, or for old workflows a stage."""

    alias: str = ""
    stage: str = ""

    def __str__(self) -> str:
        return f"stage {self.stage}" if self.stage else f"alias '{self.alias}'"

    @property
    def key(self) -> str:
        """Its part of a tag name."""
        return f"stage-{self.stage}" if self.stage else self.alias

    @property
    def name(self) -> str:
        """What a promotion policy matches: the alias or the stage."""
        return self.stage or self.alias


@dataclass(frozen=True, slots=True)
class PromotionEvent:
    """One entry of a history."""

    kind: Literal["promotion", "rollback"]
    seat: str
    """`Seat.key`."""
    version: str
    from_version: str
    """Who held the seat before; empty for nobody."""
    time: int
    """UTC milliseconds."""
    by: str
    """The MCP client that asked."""
    reason: str
    gates: tuple[Mapping[str, str], ...]
    """Each gate with what was measured and required."""


class Promotions:
    """The seats of one registry and their history."""

    def __init__(self, api: RegistryApi) -> None:
        self._api = api

    async def holder(self, name: str, seat: Seat) -> ModelVersion | None:
        """The version in a seat; None for an empty seat or a model that does not exist yet."""
        try:
            version = await self._holding(name, seat)
            return await self._api.get_model_version(name, version) if version else None
        except NotFoundError:
            return None

    async def move(
        self,
        seat: Seat,
        version: ModelVersion,
        *,
        from_version: str,
        kind: Literal["promotion", "rollback"],
        by: str,
        reason: str,
        gates: Sequence[Mapping[str, str]] = (),
    ) -> PromotionEvent:
        """Gives a seat to a version and keeps the record of it.

        `from_version` is who held the seat when the decision was made, "" for nobody.
        Raises: ConflictError: somebody else moved it meanwhile. UnsupportedError: this MLflow has no aliases.
        """
        name, moment = version.name, int(time.time() * 1_000)
        event = PromotionEvent(kind, seat.key, version.version, from_version, moment, by, reason, tuple(gates))
        tag = f"{tag_names.PROMOTION_PREFIX}{seat.key}.{moment}"
        await self._api.set_model_version_tag(name, version.version, tag, _event_text(event))
        try:
            await self._expect(name, seat, from_version)
            await self._give(name, seat, version.version)
            await self._expect(name, seat, version.version)
        except (ConflictError, UnsupportedError):
            await self._api.delete_model_version_tag(name, version.version, tag)
            raise
        return event

    async def history(self, name: str) -> tuple[PromotionEvent, ...]:
        """Every promotion and rollback of a model's newest VERSIONS_READ versions, oldest first."""
        events: list[PromotionEvent] = []
        token, read = "", 0
        while read < VERSIONS_READ:
            page = await self._api.search_model_versions(
                f"name = {quoted(name)}", order_by=["version_number DESC"], max_results=_PAGE, page_token=token
            )
            events += [event for version in page.items for event in events_of(version)]
            token, read = page.next_page_token, read + len(page.items)
            if not token:
                break
        return tuple(sorted(events, key=lambda event: event.time))

    async def _give(self, name: str, seat: Seat, version: str) -> None:
        if seat.stage:
            await self._api.transition_stage(name, version, seat.stage)
            return
        try:
            await self._api.set_alias(name, seat.alias, version)
        except UnsupportedError as error:
            raise UnsupportedError(f"{error} Aliases came with MLflow 2.3; give stage= instead.") from error

    async def _holding(self, name: str, seat: Seat) -> str:
        if not seat.stage:
            return (await self._api.get_registered_model(name)).version_by_alias.get(seat.alias, "")
        model = await self._api.get_registered_model(name)
        # The newest version of each stage is part of the model, whatever the number of versions.
        return next((version.version for version in model.latest_versions if version.stage == seat.stage), "")

    async def _expect(self, name: str, seat: Seat, version: str) -> None:
        holds = await self._holding(name, seat)
        if holds != version:
            raise ConflictError(
                f"Somebody moved {seat} of '{name}' meanwhile: it is with {_whom(holds)} now. get_model shows the "
                "promotions; decide again from there."
            )


def seat_of(alias: str, stage: str) -> Seat:
    """The seat that arguments name; a stage wins over an alias that was merely left at its default.

    Raises: InvalidInputError: MLflow reserves the alias or cannot hold it, or has no such stage.
    """
    if stage not in ("", "none"):
        if stage not in _STAGES:
            raise InvalidInputError(f"A version is promoted to the stage {' or '.join(_STAGES)}, not '{stage}'.")
        return Seat(stage=stage)
    if not _ALIAS.fullmatch(alias) or alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
        raise InvalidInputError(
            f"'{alias}' cannot be an alias: letters, digits, _ and - may be used; latest and v<number> are MLflow's."
        )
    return Seat(alias=alias)


def previous_holder(events: Iterable[PromotionEvent], seat: Seat, current: str) -> str:
    """Who held a seat before the version that holds it now, by the history; "" if the history does not know.

    A promotion puts a version on top of the ones before it and a rollback takes one off, so rolling back twice
    leads two holders back and not there and back again.
    """
    stack: list[str] = []
    for event in events:
        if event.seat != seat.key:
            continue
        # Entries that never came true, and moves made without this server, are seen by who came before.
        while stack and event.from_version in stack and stack[-1] != event.from_version:
            stack.pop()
        if event.from_version and (not stack or stack[-1] != event.from_version):
            stack.append(event.from_version)
        if event.kind == "rollback" and event.version in stack:
            while stack[-1] != event.version:
                stack.pop()
        else:
            stack.append(event.version)
    while stack and stack[-1] != current:
        stack.pop()
    return stack[-2] if len(stack) > 1 else ""


def events_of(version: ModelVersion) -> list[PromotionEvent]:
    """The entries that a version's tags hold; tags that are none are skipped, for anybody can write tags."""
    events: list[PromotionEvent] = []
    for key, text in version.tags.items():
        if match := _EVENT_KEY.fullmatch(key):
            try:
                record: dict[str, Any] = json.loads(text)
                gates = tuple({str(k): str(v) for k, v in gate.items()} for gate in record.get("gates", ()))
                events.append(
                    PromotionEvent(
                        kind="rollback" if record.get("kind") == "rollback" else "promotion",
                        seat=match["seat"],
                        version=version.version,
                        from_version=str(record.get("from_version", "")),
                        time=int(match["time"]),
                        by=str(record.get("by", "")),
                        reason=str(record.get("reason", "")),
                        gates=gates,
                    )
                )
            except (ValueError, AttributeError, TypeError):
                continue
    return events


def _event_text(event: PromotionEvent) -> str:
    said = {key: value for key, value in asdict(event).items() if key not in ("seat", "version", "time") and value}
    return json.dumps(said, separators=(",", ":"))


def _whom(version: str) -> str:
    return f"version {version}" if version else "nobody"
