"""Tags, params and descriptions as text, checked against MLflow's limits; reserved tags are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.untrusted import shown

KEY_LIMIT: Final = 250
PARAM_VALUE_LIMIT: Final = 6_000
TAG_VALUE_LIMIT: Final = 8_000
"""Characters. Source: mlflow/utils/validation.py; MLflow truncates longer values silently."""

_KEY: Final = re.compile(r"[\w.\-/ :]+")


def writable_tags(tags: Mapping[str, Any], *, description: str | None = None) -> dict[str, str]:
    """The tags of an experiment or run as they are sent, the description among them.

    Raises: InvalidInputError: a tag is reserved for this server, cannot be stored, or contradicts `description`.
    """
    need_unreserved(tags)
    texts = checked_texts("tag", tags, TAG_VALUE_LIMIT)
    if description is None:
        return texts
    if texts.get(tag_names.NOTE, description) != description:
        raise InvalidInputError(
            f"description and the tag {tag_names.NOTE} differ, but MLflow keeps them as one text. Give one of them."
        )
    return {**texts, **checked_texts("tag", {tag_names.NOTE: description}, TAG_VALUE_LIMIT)}


def need_unreserved(tags: Mapping[str, Any]) -> None:
    """Raises: InvalidInputError: a tag belongs to this server, whose promises depend on it."""
    for key in tags:
        if tag_names.is_reserved(key):
            raise InvalidInputError(tag_names.RESERVED_TAG.format(key=shown(key)))


def checked_texts(kind: str, values: Mapping[str, Any], limit: int) -> dict[str, str]:
    """Values as the text MLflow stores. Raises: InvalidInputError: a key or value that it would refuse or cut."""
    texts: dict[str, str] = {}
    for key, value in values.items():
        check_key(kind, key)
        text = stored_text(value)
        if len(text) > limit:
            raise InvalidInputError(
                f"The value of {kind} '{key}' has {len(text):,} characters; MLflow keeps {limit:,} and silently cuts "
                "the rest. Put long text into artifacts."
            )
        need_unicode(f"The value of {kind} '{key}'", text)
        texts[key] = text
    return texts


def stored_text(value: Any) -> str:
    """A param or tag as MLflow stores it: lists and mappings as JSON, everything else as Python prints it."""
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict | list) else str(value)


def check_key(kind: str, key: str) -> None:
    """Raises: InvalidInputError: MLflow does not accept a param, metric or tag of this name."""
    if len(key) > KEY_LIMIT:
        raise InvalidInputError(
            f"The {kind} name '{key[:40]}…' has {len(key):,} characters; MLflow accepts {KEY_LIMIT}."
        )
    bad = not _KEY.fullmatch(key) or key.startswith("/") or any(part in ("", ".", "..") for part in key.split("/"))
    if bad:
        raise InvalidInputError(
            f"MLflow does not accept a {kind} named {key!r}. Use letters, digits, spaces and _ - . : /, with no empty "
            "part before, between or after slashes."
        )


def need_unicode(what: str, text: str) -> None:
    """Raises: InvalidInputError: half of a surrogate pair, which no store accepts."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"{what} is not valid Unicode (a lone surrogate).") from None
