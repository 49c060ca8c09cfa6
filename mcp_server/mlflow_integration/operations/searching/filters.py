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
from mcp_server.mlflow_integration import tags as tag_names
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
    | {"user", "git_commit", "commit", "name", "id", "state"}
)

_TAG_OF: Final = {
    "user": tag_names.USER, "user_id": tag_names.USER, "git_commit": tag_names.GIT_COMMIT,
    "commit": tag_names.GIT_COMMIT, "source": tag_names.SOURCE_NAME,
}  # fmt: skip
"""Attributes of a run that MLflow keeps as tags; its own user_id is empty for runs that come over REST."""
_SAME_ATTRIBUTE: Final = {"name": "run_name", "id": "run_id", "state": "status"}
_TEXT_SEARCHES: Final = {
    "contains": "%{}%", "matches": "%{}%", "startswith": "{}%", "starts": "{}%", "endswith": "%{}", "ends": "%{}",
}  # fmt: skip
"""Words of other query languages, each with the pattern that LIKE takes."""

_SUBSCRIPT: Final = re.compile(r"""([A-Za-z]+)\s*\[\s*['"]([^'"\]]+)['"]\s*\]""")
_QUALIFIED: Final = re.compile(r"([A-Za-z]+)\.(.+)", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z_]+")
_CURLY: Final = str.maketrans("“”‘’", "\"\"''")
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


def parse_filter(filter_string: str, *, argument: str = "filter_string") -> tuple[Clause, ...]:
    """The clauses of a filter, in order; none for an empty one. `argument` is named in errors.

    Raises: InvalidInputError: names the clause that MLflow would refuse, and the form it takes.
    """
    if not filter_string.strip():
        return ()
    if len(filter_string) > LENGTH_LIMIT:
        raise InvalidInputError(f"{argument} has {len(filter_string):,} characters; at most {LENGTH_LIMIT:,}.")
    if not {"'", '"'} & set(filter_string):
        filter_string = filter_string.translate(_CURLY)
    clauses = tuple(_FilterReader(filter_string, argument).clauses())
    if len(clauses) > CLAUSE_LIMIT:
        raise InvalidInputError(f"{argument} has {len(clauses)} clauses; at most {CLAUSE_LIMIT}.")
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

    def __init__(self, text: str, argument: str) -> None:
        super().__init__(text)
        self._argument = argument

    def clauses(self) -> Iterator[Clause]:
        self.start = self.at
        yield self._clause()
        while not self.ended:
            if self.take_word("or"):
                raise InvalidInputError(
                    f"{self._argument} has an OR, which MLflow cannot answer: clauses are joined by and. "
                    "Call once for each alternative, or use IN: params.model IN ('cnn', 'mlp')."
                )
            if not self.take_word("and"):
                raise self.wrong(f"Clauses are joined by and. {FORM}" if self.starts_with(",", ";", "&") else "")
            if self.ended:
                raise InvalidInputError(
                    f"{self._argument} ends with 'and'; add a clause after it, or remove it. {FORM}"
                )
            self.start = self.at
            yield self._clause()

    def wrong(self, what: str, place: int | None = None) -> InvalidInputError:
        """Names the clause that is being read; `what` is the sentence that follows, else the form of a clause."""
        match = _END_OF_CLAUSE.match(self.text, self.start)
        clause = match[0].strip() if match else ""
        said = f"{what[0].upper()}{what[1:].removesuffix('.')}." if what else FORM
        return InvalidInputError(f'{self._argument} has an invalid clause: "{shown(clause)}". {said}')

    def _clause(self) -> Clause:
        if self.starts_with("("):
            raise self.wrong("Parentheses are allowed only after IN. " + FORM)
        if self.take_word("not"):
            raise self.wrong("A clause cannot begin with NOT; use !=, NOT IN or IS NOT NULL")
        entity, key = self._name()
        return Clause(entity, key, self._condition(entity, key))

    def _name(self) -> tuple[str, str]:
        """Entity and key, also of `metrics['x']`, of `"metrics.x"` in quotes, and of attributes by another name."""
        if subscript := self.take(_SUBSCRIPT):
            return self._entity(subscript[1], subscript[2]), subscript[2]
        match = self.take(_ENTITY)
        key = self.key()
        if key is None:
            raise self.wrong("")
        word = match[1] if match else ""
        if not word and (whole := _QUALIFIED.fullmatch(key)) and whole[1].lower() in _ENTITY_BY_WORD:
            word, key = whole[1], whole[2]
        entity = self._entity(word, key)
        if entity == "attributes" and key.lower() in _TAG_OF:
            return "tags", _TAG_OF[key.lower()]
        if entity == "datasets" and not word:
            key = "name"
        return entity, _SAME_ATTRIBUTE.get(key.lower(), key) if entity == "attributes" else key

    def _entity(self, word: str, key: str) -> str:
        if not word:
            if key.lower() in _ATTRIBUTES:
                return "attributes"
            if key.lower() in ("dataset", "datasets"):
                return "datasets"
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
                raise self.wrong(f"Only NULL follows IS. For a value: {entity}.{key_text(key)} = 'value'")
            return f"IS {negated}NULL"
        comparator = self._comparator(f"{entity}.{key_text(key)}")
        if comparator in ("IN", "NOT IN"):
            return f"{comparator} ({', '.join(self._list())})"
        text = self.quoted("'", '"')
        number = self.number() if text is None else None
        if text is None and number is None:
            bare = self.take(_BARE_VALUE)
            if bare is None:
                raise self.wrong("")
            raise self.wrong(f"Text values need quotes: {entity}.{key_text(key)} {comparator} '{shown(bare[0])}'")
        if number is not None and self.starts_with("%"):
            part = f"{entity}.{key_text(key)} {comparator} {float(number) / 100:g}"
            raise self.wrong(f"There is no percentage; values are compared as they were logged: {part}")
        return f"{comparator} {self._value(entity, key, comparator, text, number)}"

    def _comparator(self, name: str) -> str:
        sign = self.sign()
        if sign in _SIGNS:
            return sign
        if "~" in sign:
            raise self.wrong(f"A part of a text is found by LIKE: {name} LIKE '%part%'")
        if sign:
            raise self.wrong("")
        negated = "NOT " if self.take_word("not") else ""
        for word in ("ILIKE", "LIKE", "IN"):
            if self.take_word(word):
                return negated + word
        found = self.take(_WORD)
        word = found[0].lower().removesuffix("_with").replace("_", "") if found else ""
        if word == "between":
            raise self.wrong(f"A range is two clauses: {name} >= 1 and {name} <= 2")
        if word in _TEXT_SEARCHES:
            self.take_word("with")
            text = self.quoted("'", '"') or "part"
            raise self.wrong(f"Parts of a text are found by LIKE: {name} LIKE '{_TEXT_SEARCHES[word].format(text)}'")
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
