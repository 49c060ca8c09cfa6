"""Names as the least exact store compares them, so that one spelling cannot pass for another."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

_EXPANSIONS: Final = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i"})
"""Letters that Unicode does not decompose and that MySQL's default collation treats as these."""


def comparable(name: str) -> str:
    """The name without case, accents, invisible characters and outer spaces.

    Two names that differ only in these are one name in a store on MySQL (utf8mb4_0900_ai_ci), and look like one
    to a person everywhere.
    """
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    visible = (char for char in letters if unicodedata.category(char) not in ("Mn", "Me", "Cf", "Cc", "Cs"))
    return "".join(visible).translate(_EXPANSIONS).strip()


def same_name(name: str, other: str) -> bool:
    """Whether some store takes the two for one."""
    return comparable(name) == comparable(other)


def find_name(name: str, known: Iterable[str]) -> str:
    """The known name that is meant: the exact one, else one that is the same to some store; empty if there is none."""
    listed = list(known)
    return name if name in listed else next((other for other in listed if same_name(name, other)), "")


def matches(name: str, pattern: str) -> bool:
    """Whether a name matches a pattern in which `*` stands for anything, compared as `same_name` does."""
    return fnmatchcase(comparable(name), comparable(pattern))


def stands_for_nothing(name: str) -> bool:
    """Whether a name is what programs write for a value that is missing, such as `null`: nobody means it."""
    return name.strip().lower() in _NOTHING


_NOTHING: Final = frozenset({"null", "none", "undefined", "nan"})
