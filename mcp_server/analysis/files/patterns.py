"""Regular expressions that others write, run only when they end soon.

Python's engine tries every way to match, and some expressions have exponentially many. A pattern is measured
before it is used: the longer a line may be for it, the fewer choices it may leave open.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from mcp_server.errors import InvalidInputError
from mcp_server.untrusted import shown

if sys.version_info >= (3, 11):
    from re import _parser as parser  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
else:
    import sre_parse as parser

PATTERN_LIMIT: Final = 300
"""Characters."""
_STEPS_LIMIT: Final = 2e7
"""Steps of the engine for one piece of a line: about a tenth of a second."""
_SHORTEST_LINE: Final = 200
"""A pattern that would be safe only for shorter pieces of a line is refused."""
_LONGEST_LINE: Final = 65_536
_FIXED_REPEAT_LIMIT: Final = 100


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern, searched in any case."""

    expression: re.Pattern[str]
    line_limit: int
    """Characters of a line that are searched at once; longer lines are searched in overlapping pieces."""

    def found_in(self, line: str) -> bool:
        if len(line) <= self.line_limit:
            return self.expression.search(line) is not None
        step = self.line_limit // 2
        return any(self.expression.search(line[at : at + self.line_limit]) for at in range(0, len(line), step))


def safe_pattern(text: str) -> Pattern:
    """Raises: InvalidInputError: not a regular expression, or one that could take forever."""
    if len(text) > PATTERN_LIMIT:
        raise InvalidInputError(f"pattern has {len(text):,} characters; {PATTERN_LIMIT} is the limit.")
    try:
        expression = re.compile(text, re.IGNORECASE)
        cost = _cost(parser.parse(text, re.IGNORECASE))
    except _TooComplicatedError as error:
        raise InvalidInputError(
            f"pattern {shown(text)} could take too long to search for: it has {error}. Use plain text, "
            "alternatives with |, classes such as \\d, and at most two of * + {m,n}."
        ) from None
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidInputError(
            f"pattern {shown(text)} is not a regular expression ({error}). Put a backslash before ( ) [ ] . * + ? "
            "that stand for themselves."
        ) from None
    limit = int((_STEPS_LIMIT / cost.ways) ** (1 / (cost.loops + 1)))
    if limit < _SHORTEST_LINE:
        raise InvalidInputError(
            f"pattern {shown(text)} could take too long to search for: it leaves too much open. Use at most two of "
            "* + {m,n} and few optional parts."
        )
    return Pattern(expression, min(limit, _LONGEST_LINE))


class _TooComplicatedError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Cost:
    """The engine takes at most ways * length ** (loops + 1) steps."""

    ways: float = 1.0
    loops: int = 0


def _cost(parts: Any) -> _Cost:
    """The cost of a sequence as Python's own parser sees it."""
    ways, loops = 1.0, 0
    for operation, argument in cast("Iterable[tuple[Any, Any]]", parts):
        cost = _cost_of(str(operation), argument)
        ways, loops = ways * cost.ways, loops + cost.loops
    return _Cost(ways, loops)


def _cost_of(operation: str, argument: Any) -> _Cost:
    if operation in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "RANGE", "CATEGORY"):
        return _Cost()
    if operation == "SUBPATTERN":
        return _cost(argument[3])
    if operation == "BRANCH":
        costs = [_cost(branch) for branch in argument[1]]
        return _Cost(sum(cost.ways for cost in costs), max(cost.loops for cost in costs))
    if operation in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, repeated = argument
        inner = _cost(repeated)
        if most <= 1:
            return _Cost(1 + inner.ways, inner.loops)
        if inner.loops or inner.ways > 1:
            raise _TooComplicatedError("a repetition of something that can itself match in several ways")
        if least == most:
            if most > _FIXED_REPEAT_LIMIT:
                raise _TooComplicatedError(f"a repetition of more than {_FIXED_REPEAT_LIMIT} times")
            return _Cost()
        return _Cost(1.0, 1)
    raise _TooComplicatedError("a back reference, a look around or another rare construct")
