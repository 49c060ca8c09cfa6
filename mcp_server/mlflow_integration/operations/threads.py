"""Work that would hold up the event loop, in threads: over pieces that arrive, or on its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, TypeVar

from anyio import CapacityLimiter, from_thread, to_thread

T = TypeVar("T")

WORKERS: Final = 4
"""Files that are worked on at the same time; each holds Python's lock while it computes."""

_limiter = CapacityLimiter(WORKERS)


async def in_thread(function: Callable[[Iterator[bytes]], T], pieces: AsyncIterator[bytes]) -> T:
    """What the function makes of the pieces; it reads no further than it needs. Cancelled at the next piece."""

    async def following() -> bytes:
        return await anext(pieces, b"")

    def pulled() -> Iterator[bytes]:
        while piece := from_thread.run(following):
            yield piece

    return await to_thread.run_sync(lambda: function(pulled()), limiter=_limiter)


async def off_the_loop(function: Callable[[], T]) -> T:
    """The result of a function that computes for long or waits for a disk."""
    return await to_thread.run_sync(function, limiter=_limiter)
