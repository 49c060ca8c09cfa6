"""A server that does not answer is noticed once: later calls fail at once instead of waiting for their deadline.

While it does not answer, one cheap probe at a time finds out whether it is back. A server that is
merely slow stays reachable: after a probe that ran out of time, one call at a time goes through all the same.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio

from mcp_server.errors import DeadlineError, TrackingServerError, UnreachableError

FAILURES: Final = 3
"""Calls in a row without an answer before calls are refused: one or two may be a restart or one heavy search."""

PROBE_SECONDS: Final = 1.0
"""Time in which a probe must be answered."""

PAUSE_SECONDS: Final = 0.5
"""Time after a failed probe in which calls are refused without another one."""


class CircuitBreaker:
    """Counts the calls in a row that got no answer; refuses further ones until a probe gets one."""

    def __init__(self, probe: Callable[[], Awaitable[None]], *, hang_seconds: float) -> None:
        """`probe` returns when the server answers anything, and raises TrackingServerError when it does not.

        hang_seconds: a call that was cancelled counts as one without an answer when nothing at all was answered for
            this long. Many calls at once wait for each other, which is not the server's fault.
        """
        self._probe = probe
        self._hang_seconds = hang_seconds
        self._failures = 0
        self._last = ""
        self._answered_at = -math.inf
        self._probing: anyio.Event | None = None
        self._probe_failed_at = -math.inf
        self._trial = False

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        """Around one call.

        Raises: UnreachableError: the call is refused and was not sent; the text is that of the last failure.
        """
        trial = await self._admitted()
        began = anyio.current_time()
        try:
            yield
        except (UnreachableError, DeadlineError) as error:
            self._failed(str(error))
            raise
        except anyio.get_cancelled_exc_class():
            if anyio.current_time() - max(began, self._answered_at) >= self._hang_seconds:
                self._failed("It did not answer within the time a call may take.")
            raise
        except TrackingServerError:
            self._answered()  # If not what it should.
            raise
        else:
            self._answered()
        finally:
            if trial:
                self._trial = False

    def _answered(self) -> None:
        self._failures, self._answered_at = 0, anyio.current_time()

    def _failed(self, sentence: str) -> None:
        self._failures += 1
        self._last = sentence

    async def _admitted(self) -> bool:
        """Returns: whether the call goes through although a probe was not answered."""
        if self._failures < FAILURES:
            return False
        if anyio.current_time() - self._probe_failed_at < PAUSE_SECONDS:
            raise self._refusal()
        if self._probing is not None:
            await self._probing.wait()
        elif await self._ask():
            return True
        if self._failures >= FAILURES:
            raise self._refusal()
        return False

    async def _ask(self) -> bool:
        """One probe for all who wait. Returns: whether it ran out of time and this caller may try all the same."""
        answered = refused = False
        self._probing = anyio.Event()
        try:
            with anyio.move_on_after(PROBE_SECONDS):
                await self._probe()
                answered = True
        except TrackingServerError as error:
            self._last = str(error)
            refused = True
        finally:
            if answered:
                self._failures = 0
            else:
                self._probe_failed_at = anyio.current_time()
            self._probing.set()
            self._probing = None
        if answered or refused or self._trial:
            return False
        self._trial = True
        return True

    def _refusal(self) -> UnreachableError:
        return UnreachableError(
            f"{self._last} {self._failures} calls in a row got no answer, so this one was not sent. "
            "Try again in a moment: the server is asked again then.",
            carried_out=False,
        )
