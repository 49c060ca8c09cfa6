"""The opt-in audit log: one line of JSON for every tool call, with hashes of the arguments instead of their values."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from mcp_server.errors import SettingsError
from mcp_server.mlflow_integration.rest.api import counted_requests
from mcp_server.redaction import redact
from mcp_server.untrusted import shown

logger = logging.getLogger(__name__)

_HASH_DIGITS: Final = 16
"""Hexadecimal digits of an argument's SHA-256: enough to tell which arguments were equal."""


class AuditLog:
    """Appends to a file that only its owner can read; does nothing without one."""

    def __init__(self, path: Path | None) -> None:
        """Raises: SettingsError: the file cannot be written."""
        self._descriptor: int | None = None
        if path is None:
            return
        try:
            self._descriptor = os.open(path.expanduser(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise SettingsError(f"MLFLOW_MCP_AUDIT_LOG cannot be written: {error.strerror}.") from None

    @contextmanager
    def call(self, who: str, tool: str, arguments: Mapping[str, Any], tracker: str = "") -> Generator[Outcome]:
        """One line when the call ends; what it raises counts as an error, or as cancelled.

        `tracker` is the one that was called, where there are several.
        """
        outcome, descriptor = Outcome(), self._descriptor
        if descriptor is None:
            yield outcome
            return
        began = time.monotonic()
        with counted_requests() as requests:
            try:
                yield outcome
            except Exception:
                outcome.text = "error"
                raise
            except BaseException:
                outcome.text = "cancelled"
                raise
            finally:
                _append(
                    descriptor,
                    {
                        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                        "who": shown(who),
                        "tool": shown(tool),
                        **({"tracker": tracker} if tracker else {}),
                        "arguments": {shown(name): _hash(value) for name, value in arguments.items()},
                        "outcome": outcome.text,
                        "seconds": round(time.monotonic() - began, 3),
                        "requests": [f"{method} {path}" for method, path in requests],
                    },
                )


def _append(descriptor: int, entry: Mapping[str, Any]) -> None:
    line = redact(json.dumps(entry, separators=(",", ":"))) + "\n"
    try:
        # One write with O_APPEND: lines of several servers do not mix.
        os.write(descriptor, line.encode())
    except OSError as error:
        logger.error("The audit log cannot be written: %s", error.strerror)


class Outcome:
    """How a call ended: `answered`, `asked` (a person was asked first), `error` or `cancelled`."""

    text = "answered"


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
