"""Pages that can be cut anywhere: a page token of ours holds MLflow's token and an offset inside that page.

MLflow's own tokens point only to whole pages, so rows that do not fit into an answer would be lost between two of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar, cast

from mcp_server.errors import InvalidInputError

T = TypeVar("T")

_MARK: Final = "p1."
"""Begins every token of ours; without it a token is MLflow's own."""
_LONGEST_TOKEN: Final = 4_000
_LARGEST_PAGE: Final = 50_000
NOT_OUR_TOKEN: Final = (
    "page_token is not one of this server's. Give next_page_token of the previous page, unchanged, or leave it out."
)


@dataclass(frozen=True, slots=True)
class Window(Generic[T]):
    """A part of one page."""

    items: tuple[T, ...]
    resume: Callable[[int], str]
    """From the number of rows shown to the token of what follows them."""
    next_page_token: str
    """What follows all of them."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the rows of a search."""

    page_token: str = ""
    """MLflow's token of the page; empty for the first."""
    offset: int = 0
    """Rows of that page that were shown already."""
    page_size: int = 0
    """Rows that the page was asked for; 0 where `offset` is 0, for then any number continues correctly."""
    query: str = ""
    """Fingerprint of the other arguments: the place is one in the answer to those."""
    time: int = 0
    """UTC milliseconds that `24h` is counted back from, so that it means the same on every page; 0 when not needed."""

    @classmethod
    def read(cls, token: str, *query: object, time: int = 0) -> Cursor:
        """The place that a token stands for; the beginning for an empty one. `query` holds the other arguments.

        Raises: InvalidInputError: the token is not one, or belongs to other arguments.
        """
        fingerprint = _fingerprint(query)
        text = token.strip()
        if not text:
            return cls(query=fingerprint, time=time)
        if not text.startswith(_MARK):
            if not text.isascii():  # MLflow decodes a token as base64, and fails where it is none.
                raise InvalidInputError(NOT_OUR_TOKEN)
            return cls(page_token=text, query=fingerprint, time=time)
        found = _decoded(text)
        if found.query != fingerprint:
            raise InvalidInputError(
                "page_token belongs to a call with other arguments. Repeat the arguments of that call, or leave "
                "page_token out to start again."
            )
        return found

    def request_size(self, max_results: int) -> int:
        """Rows to ask MLflow for, so that `offset` counts in the same page again."""
        return self.page_size or max_results

    def rest(self, items: Sequence[T]) -> Sequence[T]:
        """The rows of the page that were not shown yet."""
        return items[self.offset :]

    def after(self, shown: int, *, page_length: int, page_size: int, next_token: str) -> str:
        """The token that continues after `shown` rows of `rest`; empty when nothing follows.

        `page_length` and `next_token` are those of MLflow's page, `page_size` is what it was asked for.
        """
        if self.offset + shown < page_length:
            return self._token(self.page_token, self.offset + shown, page_size)
        return self._token(next_token, 0, 0) if next_token else ""

    def window(self, items: Sequence[T], next_token: str, max_results: int) -> Window[T]:
        """The rows of MLflow's page that are shown now; it was asked for `request_size(max_results)` rows."""
        shown = self.rest(items)[:max_results]
        length, size = len(items), self.request_size(max_results)
        resume = partial(self.after, page_length=length, page_size=size, next_token=next_token)
        return Window(tuple(shown), resume, resume(len(shown)))

    def _token(self, page_token: str, offset: int, page_size: int) -> str:
        content = [page_token, offset, page_size, self.query, self.time]
        text = json.dumps(content, separators=(",", ":"), ensure_ascii=True)
        return _MARK + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _fingerprint(query: Sequence[object]) -> str:
    return hashlib.blake2b(repr(query).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _decoded(token: str) -> Cursor:
    wrong = InvalidInputError(NOT_OUR_TOKEN)
    if len(token) > _LONGEST_TOKEN:
        raise wrong
    text = token.removeprefix(_MARK)
    try:
        content: Any = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise wrong from None
    if not (isinstance(content, list) and [type(item) for item in cast("list[Any]", content)] == _TYPES):
        raise wrong
    page_token, offset, page_size, query, time = cast(
        "tuple[str, int, int, str, int]", tuple(cast("list[Any]", content))
    )
    if not (0 <= offset <= page_size <= _LARGEST_PAGE and 0 <= time < 2**53):
        raise wrong
    return Cursor(page_token, offset, page_size, query, time)


_TYPES: Final = [str, int, int, str, int]
