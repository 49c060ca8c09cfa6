"""MLflow's filter grammar for runs, read clause by clause so that an error names the clause and its right form.

The grammar is MLflow's own (mlflow/utils/search_utils.py): comparisons joined by `and`; no `or`, no parentheses. What
passes here still goes to MLflow, which decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mcp_server.comparisons import NUMBER, Reader, key_text
from mcp_server.errors import InvalidInputError
from mcp_server.untrusted import shown

FORM: Final = "Form: metrics.accuracy > 0.9 and params.model = 'cnn'."
LENGTH_LIMIT: Final = 2_000
"""Characters of one filter; every clause is a SQL join, and SQLite gives up at 64 of them."""
CLAUSE_LIMIT: Final = 30

_ENTITIES: Final = {
    "metrics": ("metric", "metrics"),
    "params": ("param", "params", "parameter", "parameters"),
    "tags": ("tag", "tags"),
    "attributes": ("attribute", "attributes", "attr", "run"),
    "datasets": ("dataset", "datasets"),
}
_ENTITY_BY_WORD: Final = {word: entity for entity, words in _ENTITIES.items() for word in words}
_ATTRIBUTES: Final = frozenset(
    {"run_id", "run_name", "status", "artifact_uri", "user_id", "start_time", "end_time", "created", "lifecycle_stage"}
    # Those of local_clauses.py.
    | {"duration", "experiment", "experiment_name"}
)

_ENTITY: Final = re.compile(r"([A-Za-z]+)\s*\.\s*")
_END_OF_CLAUSE: Final = re.compile(r"""(?:'[^']*'|"[^"]*"|`[^`]*`|(?!\s(?:and|or)\s).)*""", re.IGNORECASE | re.DOTALL)
_BARE_VALUE: Final = re.compile(r"[^\s'\"`(),]+")
_OPEN: Final = re.compile(r"\(")
_CLOSE: Final = re.compile(r"\)")
_COMMA: Final = re.compile(",")
_SIGNS: Final = (">", ">=", "<", "<=", "=", "!=")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison, such as `metrics.accuracy > 0.9`."""

    entity: str
    """metrics, params, tags, attributes or datasets."""
    key: str
    """Without quotes."""
    condition: str
    """Comparator and value, as MLflow reads them."""

    def __str__(self) -> str:
        # MLflow reads a key with other characters only in backticks.
        key = self.key if _PLAIN_KEY.fullmatch(self.key) else f"`{self.key}`"
        return f"{self.entity}.{key} {self.condition}"


def parse_filter(filter_string: str) -> tuple[Clause, ...]:
    """The clauses of a filter, in order; none for an empty one.

    Raises: InvalidInputError: names the clause that MLflow would refuse, and the form it takes.
    """
    if not filter_string.strip():
        return ()
    if len(filter_string) > LENGTH_LIMIT:
        raise InvalidInputError(f"filter_string has {len(filter_string):,} characters; at most {LENGTH_LIMIT:,}.")
    clauses = tuple(_FilterReader(filter_string).clauses())
    if len(clauses) > CLAUSE_LIMIT:
        raise InvalidInputError(f"filter_string has {len(clauses)} clauses; at most {CLAUSE_LIMIT}.")
    return clauses


def join_clauses(clauses: tuple[Clause, ...]) -> str:
    """The filter MLflow is sent."""
    return " and ".join(str(clause) for clause in clauses)


def quoted(value: str) -> str:
    """A text value inside a filter. MLflow reads no doubled quotes, so it takes the kind that the text lacks.

    Raises: InvalidInputError: the text has both kinds, or a backslash where MLflow would read an escaped quote.
    """
    mark = '"' if "'" in value else "'"
    if mark in value or value.endswith("\\") or "\\" + mark in value:
        raise InvalidInputError(
            f"MLflow's filters cannot compare with '{shown(value)}': a text may have one kind of quotes and no "
            "backslash at its end. LIKE with _ for such a character can."
        )
    return f"{mark}{value}{mark}"


class _FilterReader(Reader):
    """Reads the clauses of one filter."""

    def clauses(self) -> Iterator[Clause]:
        self.start = self.at
        yield self._clause()
        while not self.ended:
            if self.take_word("or"):
                raise InvalidInputError(
                    "filter_string has an OR, which MLflow cannot answer: clauses are joined by and. "
                    "Call once for each alternative, or use IN: params.model IN ('cnn', 'mlp')."
                )
            if not self.take_word("and"):
                raise self.wrong("")
            if self.ended:
                raise InvalidInputError(f"filter_string ends with 'and'; add a clause after it, or remove it. {FORM}")
            self.start = self.at
            yield self._clause()

    def wrong(self, what: str, place: int | None = None) -> InvalidInputError:
        """Names the clause that is being read; `what` is the sentence that follows, else the form of a clause."""
        match = _END_OF_CLAUSE.match(self.text, self.start)
        clause = match[0].strip() if match else ""
        said = f"{what[0].upper()}{what[1:].removesuffix('.')}." if what else FORM
        return InvalidInputError(f'filter_string has an invalid clause: "{shown(clause)}". {said}')

    def _clause(self) -> Clause:
        if self.starts_with("("):
            raise self.wrong("Parentheses are allowed only after IN. " + FORM)
        if self.take_word("not"):
            raise self.wrong("A clause cannot begin with NOT; use !=, NOT IN or IS NOT NULL")
        match = self.take(_ENTITY)
        key = self.key()
        if key is None:
            raise self.wrong("")
        entity = self._entity(match[1] if match else "", key)
        condition = self._condition(entity, key)
        return Clause(entity, key, condition)

    def _entity(self, word: str, key: str) -> str:
        if not word:
            if key.lower() in _ATTRIBUTES:
                return "attributes"
            name = shown(key)
            raise self.wrong(f"Say what {name} is: metrics.{name}, params.{name} or tags.{name}")
        entity = _ENTITY_BY_WORD.get(word.lower())
        if entity is None:
            raise self.wrong(f"'{word}' is not one of metrics, params, tags, attributes, datasets")
        return entity

    def _condition(self, entity: str, key: str) -> str:
        """Comparator and value, as MLflow reads them."""
        if self.take_word("is"):
            negated = "NOT " if self.take_word("not") else ""
            if not self.take_word("null"):
                raise self.wrong("")
            return f"IS {negated}NULL"
        comparator = self._comparator()
        if comparator in ("IN", "NOT IN"):
            return f"{comparator} ({', '.join(self._list())})"
        text = self.quoted("'", '"')
        number = self.number() if text is None else None
        if text is None and number is None:
            bare = self.take(_BARE_VALUE)
            if bare is None:
                raise self.wrong("")
            raise self.wrong(f"Text values need quotes: {entity}.{key_text(key)} {comparator} '{shown(bare[0])}'")
        return f"{comparator} {self._value(entity, key, comparator, text, number)}"

    def _comparator(self) -> str:
        sign = self.sign()
        if sign in _SIGNS:
            return sign
        if sign:
            raise self.wrong("")
        negated = "NOT " if self.take_word("not") else ""
        for word in ("ILIKE", "LIKE", "IN"):
            if self.take_word(word):
                return negated + word
        raise self.wrong("")

    def _value(self, entity: str, key: str, comparator: str, text: str | None, number: str | None) -> str:
        name = f"{entity}.{key_text(key)}"
        if text is None:
            # Params are compared with numbers by local_clauses.py.
            if entity == "tags":
                raise self.wrong(f"Tags are stored as text: {name} {comparator} '{number}'")
            return number or ""
        if comparator.endswith("LIKE") and "*" in text and "%" not in text:
            raise self.wrong(f"The wildcard is %: {name} {comparator} '{shown(text.replace('*', '%'))}'")
        if entity == "metrics":
            if not NUMBER.fullmatch(text.strip()):
                raise self.wrong(f"Metrics are numbers: {name} {comparator} 0.9")
            return text.strip()
        return quoted(text)

    def _list(self) -> list[str]:
        if not self.starts_with("("):
            raise self.wrong("IN needs a list: params.model IN ('cnn', 'mlp')")
        self.take(_OPEN)
        values: list[str] = []
        while not self.take(_CLOSE):
            text = self.quoted("'", '"')
            if text is None:
                text = self.number()
            if text is None:
                raise self.wrong("IN needs a list: params.model IN ('cnn', 'mlp')")
            values.append(quoted(text))
            if not self.take(_COMMA) and not self.starts_with(")"):
                raise self.wrong("The values of a list are separated by commas: params.model IN ('cnn', 'mlp')")
        if not values:
            raise self.wrong("The list is empty")
        return values
