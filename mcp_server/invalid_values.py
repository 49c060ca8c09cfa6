"""Why pydantic refused a value, in the words of this server: for arguments, settings and files alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from mcp_server.untrusted import shown

MISSING: Final = "missing"
UNKNOWN: Final = "extra_forbidden"


@dataclass(frozen=True, slots=True)
class InvalidValue:
    """One refused value: where it is, what it is, and what would be right."""

    place: tuple[str, ...]
    kind: str
    """MISSING, UNKNOWN, or another of pydantic's error types."""
    value: object
    rule: str
    """The rest of a sentence that begins with the value: `expected a whole number`."""

    @property
    def name(self) -> str:
        return self.place[0] if self.place else ""

    @property
    def path(self) -> str:
        """Such as `datasets[0].name`."""
        return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in self.place).removeprefix(".")

    def sentence(self, subject: str) -> str:
        quote = "'" if isinstance(self.value, str) else ""
        return f"{subject} is {quote}{shown(self.value)}{quote}: {self.rule}."


def invalid_values(error: ValidationError) -> Iterator[InvalidValue]:
    """What pydantic refused, one by one."""
    problems = error.errors(include_url=False)
    for problem in problems:
        if problem["type"] == "too_short" and any(_is_inside(other["loc"], problem["loc"]) for other in problems):
            continue  # pydantic counts the items of a list without those that it refuses.
        kind, context = problem["type"], problem.get("ctx", {})
        # A step of the way to the value may be a name that the caller made up.
        place = tuple(shown(str(part)) for part in problem["loc"])
        yield InvalidValue(place, kind, problem.get("input"), _rule(kind, context))


def _is_inside(place: tuple[int | str, ...], other: tuple[int | str, ...]) -> bool:
    return len(place) > len(other) and place[: len(other)] == other


def _rule(kind: str, context: dict[str, Any]) -> str:
    if kind == "value_error":
        # Raised by a validator of this package, in its own words.
        return str(context.get("error", "")).rstrip(".")
    if kind in _LENGTHS:
        word, unit = _LENGTHS[kind]
        number = context.get("max_length" if word == "at most" else "min_length", 0)
        if word == "at least" and number == 1:
            return "it must not be empty"
        have = "" if context.get("actual_length") is None else f", not {context['actual_length']:,}"
        return f"expected {word} {number:,} {unit}{have}"
    if kind in _BOUNDS:
        name, word = _BOUNDS[kind]
        return f"expected {word} {context[name]:,}"
    if kind in ("literal_error", "enum"):
        return f"expected {context['expected']}"
    return f"expected {_KINDS.get(kind, 'another kind of value')}"


_LENGTHS: Final = {
    "too_long": ("at most", "items"),
    "too_short": ("at least", "items"),
    "string_too_long": ("at most", "characters"),
    "string_too_short": ("at least", "characters"),
}
_BOUNDS: Final = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_KINDS: Final = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    **dict.fromkeys(("string_type", "string_unicode", "string_sub_type"), "text"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), 'a list, such as ["a", "b"]'),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type"), 'a JSON object, such as {"name": "value"}'),
    "path_type": "a path",
}
