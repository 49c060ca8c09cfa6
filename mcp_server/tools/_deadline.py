"""One clock for a call. Resolving, asking MLflow and writing count; the time that a person takes to decide does not."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

import anyio

_running: ContextVar[anyio.CancelScope | None] = ContextVar("running", default=None)


@contextmanager
def deadline(seconds: float) -> Generator[None]:
    """Cancels what runs inside after this time.

    Raises: TimeoutError: the time ran out, and what was cancelled raised nothing itself.
    """
    with anyio.CancelScope(deadline=anyio.current_time() + seconds) as scope:
        token = _running.set(scope)
        try:
            yield
        finally:
            _running.reset(token)
    if scope.cancelled_caught:
        raise TimeoutError


def too_slow(what: str, seconds: float) -> str:
    """The sentence for what reached its deadline."""
    return f"{what} took longer than {seconds:g} s and was cancelled (MLFLOW_MCP_TIMEOUT_SECONDS)."


@contextmanager
def not_counted() -> Generator[None]:
    """Stops the clock of the call that is running."""
    scope = _running.get()
    if scope is None:
        yield
        return
    left, scope.deadline = scope.deadline - anyio.current_time(), math.inf
    try:
        yield
    finally:
        scope.deadline = anyio.current_time() + left
