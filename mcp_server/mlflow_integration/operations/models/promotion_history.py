"""The record of promotions: which version had an alias or a stage, when, and why.

Every promotion and rollback is a tag on the version that got the alias, so the record is MLflow's own data, which
any client can read after any restart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.entities import ALIAS_OF_STAGE, ModelVersion, RegisteredModel
from mcp_server.names import find_name, same_name

STAGES: Final = tuple(ALIAS_OF_STAGE)
"""Stages that a version can be promoted to."""

_EVENT_KEY: Final = re.compile(rf"{re.escape(tag_names.PROMOTION_PREFIX)}(?P<key>.+)\.(?P<time>\d+)")
_ALIAS: Final = re.compile(r"[\w-]{1,200}", re.ASCII)
_RESERVED_ALIAS: Final = re.compile(r"latest|v\d+", re.IGNORECASE)
_STAGE_KEY: Final = "stage-"


@dataclass(frozen=True, slots=True)
class Pointer:
    """An alias of a registered model, or for old workflows a stage: it points to one version at a time."""

    alias: str = ""
    stage: str = ""

    def __str__(self) -> str:
        return f"stage {self.stage}" if self.stage else f"alias '{self.alias}'"

    @property
    def key(self) -> str:
        """Its part of a tag name."""
        return f"{_STAGE_KEY}{self.stage}" if self.stage else self.alias

    @property
    def name(self) -> str:
        return self.stage or self.alias

    def in_model(self, model: RegisteredModel) -> Pointer:
        """The same alias as the model spells it: stores that ignore case keep `champion` for `Champion`."""
        known = find_name(self.alias, model.version_by_alias) if self.alias else ""
        return Pointer(alias=known) if known else self

    def current_version(self, model: RegisteredModel) -> str:
        """Number of the version that has it; empty if none has."""
        if self.alias:
            return model.version_by_alias.get(find_name(self.alias, model.version_by_alias), "")
        # The newest version of each stage is part of the model, whatever the number of versions.
        return next((version.version for version in model.latest_versions if version.stage == self.stage), "")


@dataclass(frozen=True, slots=True)
class PromotionEvent:
    """One entry of the record."""

    kind: Literal["promotion", "rollback"]
    key: str
    """`Pointer.key`."""
    version: str
    from_version: str
    """The version that had it before; empty for none."""
    time: int
    """UTC milliseconds."""
    by: str
    """The MCP client that asked."""
    reason: str
    gates: tuple[Mapping[str, str], ...]
    """Each gate with what was measured and required."""

    @property
    def pointer(self) -> Pointer:
        if self.key.startswith(_STAGE_KEY):
            return Pointer(stage=self.key.removeprefix(_STAGE_KEY))
        return Pointer(alias=self.key)

    def concerns(self, pointer: Pointer) -> bool:
        """Whether it is about this alias or stage, however the alias is spelt."""
        return same_name(self.key, pointer.key)


def pointer_of(alias: str, stage: str) -> Pointer:
    """The alias or stage that arguments name; a stage wins over an alias that was merely left at its default.

    Raises: InvalidInputError: MLflow reserves the alias or cannot store it, or has no such stage.
    """
    if stage.strip().lower() not in ("", "none"):
        known = next((known for known in STAGES if known.lower() == stage.strip().lower()), "")
        if not known:
            raise InvalidInputError(f"A version is promoted to the stage {' or '.join(STAGES)}, not '{stage}'.")
        return Pointer(stage=known)
    alias = alias.strip()
    if alias.isdigit():
        raise InvalidInputError(f"'{alias}' cannot be an alias: a number always means a version.")
    if alias.lower().startswith(_STAGE_KEY):
        raise InvalidInputError(f"'{alias}' cannot be an alias: {_STAGE_KEY}... records the promotions to stages.")
    if not _ALIAS.fullmatch(alias) or _RESERVED_ALIAS.fullmatch(alias):
        raise InvalidInputError(
            f"'{alias}' cannot be an alias. An alias has letters a to z, digits, _ and -, at most 200; MLflow reserves "
            "latest and v<number>."
        )
    return Pointer(alias=alias)


def pointers_of(version: ModelVersion) -> list[Pointer]:
    """The aliases and the stage that a version has, and those that it is on record as having had."""
    pointers = [Pointer(alias=alias) for alias in version.aliases]
    if version.stage in STAGES:
        pointers.append(Pointer(stage=version.stage))
    return list(dict.fromkeys([*pointers, *(event.pointer for event in events_of(version))]))


def previous_version(events: Iterable[PromotionEvent], pointer: Pointer, current: str) -> str:
    """The version that had the alias before the current one, by the record; empty if the record does not show it.

    A promotion puts a version on top of the ones before it and a rollback removes the top one, so two rollbacks go
    back two versions instead of back and forth.
    """
    stack: list[str] = []
    for event in events:
        if not event.concerns(pointer):
            continue
        # Moves that were recorded but never happened, or happened without this server, show in `from_version`.
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


def event_tag(event: PromotionEvent) -> tuple[str, str]:
    """Name and value of the tag that records an event."""
    facts = {k: v for k, v in asdict(event).items() if k not in ("key", "version", "time") and v}
    return f"{tag_names.PROMOTION_PREFIX}{event.key}.{event.time}", json.dumps(facts, separators=(",", ":"))


def events_of(version: ModelVersion) -> list[PromotionEvent]:
    """The entries that a version's tags hold. Malformed tags are skipped: other clients can write any tag."""
    found = (_event(version.version, key, text) for key, text in version.tags.items())
    return [event for event in found if event is not None]


def _event(version: str, key: str, text: str) -> PromotionEvent | None:
    match = _EVENT_KEY.fullmatch(key)
    if match is None:
        return None
    try:
        record: dict[str, Any] = json.loads(text)
        return PromotionEvent(
            kind="rollback" if record.get("kind") == "rollback" else "promotion",
            key=match["key"],
            version=version,
            from_version=str(record.get("from_version", "")),
            time=int(match["time"]),
            by=str(record.get("by", "")),
            reason=str(record.get("reason", "")),
            gates=tuple({str(k): str(v) for k, v in gate.items()} for gate in record.get("gates", ())),
        )
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None
