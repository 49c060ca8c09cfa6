"""Time within one call: stopping before its deadline, and ending a request that is under way when it is cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Final, TypeVar

import anyio

RESERVE_SECONDS: Final = 3.0
"""Most that is kept of a call's time, and of a process that is told to end."""
TIME_IS_UP: Final = "The time for one call ran out (MLFLOW_MCP_TIMEOUT_SECONDS)."

T = TypeVar("T")


def reserve_seconds() -> float:
    """The part of a call's time that is kept to settle what it could not finish."""
    left = anyio.current_effective_deadline() - anyio.current_time()
    return min(RESERVE_SECONDS, max(left, 0.0) / 4)


@contextmanager
def stop_before_deadline(reserve: float) -> Generator[anyio.CancelScope]:
    """Cancels its body this many seconds before the deadline of the call."""
    with anyio.CancelScope(deadline=anyio.current_effective_deadline() - reserve) as scope:
        yield scope


async def despite_cancellation(action: Callable[[], Awaitable[T]], grace_seconds: float) -> T:
    """The result of an action that is given some time to end when the caller is cancelled.

    For requests whose outcome must be known. The cancellation continues afterwards: then only `action` itself sees the
    result.
    """
    results: list[T] = []
    failures: list[Exception] = []
    shielded = anyio.CancelScope(shield=True)

    async def act() -> None:
        with shielded:
            try:
                results.append(await action())
            except Exception as error:
                failures.append(error)
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(act)
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            shielded.deadline = anyio.current_time() + grace_seconds
            raise
    if failures:
        raise failures[0]
    return results[0]
