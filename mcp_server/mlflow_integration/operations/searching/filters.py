"""MLflow's filter grammar for runs, read clause by clause so that an error names the clause and its right form.

The grammar is MLflow's own (mlflow/utils/search_utils.py): comparisons joined by `and`; no `or`, no parentheses. What
passes here still goes to MLflow, which decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mcp_server.comparisons import NUMBER, Reader, key_text
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.untrusted import shown

FORM: Final = "Form: metrics.accuracy > 0.9 and params.model = 'cnn'."
LENGTH_LIMIT: Final = 2_000
"""Characters of one filter; every clause is a SQL join, and SQLite allows at most 64 of them."""
CLAUSE_LIMIT: Final = 30

_TAG_OF: Final = {
    **dict.fromkeys(("user", "user_id"), tag_names.USER),
    **dict.fromkeys(("git_commit", "commit", "git_sha"), tag_names.GIT_COMMIT),
    "source": tag_names.SOURCE_NAME,
    **dict.fromkeys(("description", "note", "notes"), tag_names.NOTE),
    **dict.fromkeys(("parent", "parent_id", "parent_run", "parent_run_id"), tag_names.PARENT_RUN),
}
"""Attributes of a run that MLflow keeps as tags; its own user_id is empty for runs that come over REST."""
_SAME_ATTRIBUTE: Final = {
    **dict.fromkeys(("name", "run name"), "run_name"),
    "id": "run_id",
    "state": "status",
    **dict.fromkeys(("created", "created_at", "creation_time", "started", "started_at"), "start_time"),
    **dict.fromkeys(("ended", "ended_at", "finished_at"), "end_time"),
}
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
_KEY_WORD: Final = re.compile(r"(?!(?:I?LIKE|IN|IS|NOT)\b)[\w./%@-]+", re.IGNORECASE)
_COMPARISON: Final = re.compile(r"[<>=!]|(?:I?LIKE|IN|IS|NOT)\b", re.IGNORECASE)
_OPEN: Final = re.compile(r"\(")
_CLOSE: Final = re.compile(r"\)")
_COMMA: Final = re.compile(",")
_SIGNS: Final = (">", ">=", "<", "<=", "=", "!=")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
_NUMERIC: Final = ("start_time", "end_time", "duration", "creation_time", "last_update_time")
"""Attributes that are no text."""
_NOT_FINITE: Final = {
    "nan": "NaN",
    **dict.fromkeys(("inf", "+inf", "infinity"), "Infinity"),
    **dict.fromkeys(("-inf", "-infinity"), "-Infinity"),
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the filters of one kind of record compare."""

    entities: Mapping[str, str]
    """By the words that stand for them."""
    attributes: frozenset[str]
    same: Mapping[str, str]
    """Attributes by their other names."""
    tag_of: Mapping[str, str]
    """Attributes that are kept as tags."""
    form: str
    what_it_is: Callable[[str], str]
    """From a name with no entity before it to a sentence about what it may be."""


RUN_WORDS: Final = Vocabulary(
    entities={
        **dict.fromkeys(("metric", "metrics"), "metrics"),
        **dict.fromkeys(("param", "params", "parameter", "parameters"), "params"),
        **dict.fromkeys(("tag", "tags"), "tags"),
        **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attributes"),
        **dict.fromkeys(("dataset", "datasets"), "datasets"),
    },
    attributes=frozenset(
        {"run_id", "run_name", "status", "artifact_uri", "user_id", "start_time", "end_time", "lifecycle_stage"}
        # Those of local_clauses.py.
        | {"duration", "experiment", "experiment_name"}
        | set(_TAG_OF)
        | set(_SAME_ATTRIBUTE)
    ),
    same=_SAME_ATTRIBUTE,
    tag_of=_TAG_OF,
    form=FORM,
    what_it_is=lambda name: f"Say what {name} is: metrics.{name}, params.{name} or tags.{name}",
)


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


def parse_filter(
    filter_string: str, *, argument: str = "filter_string", words: Vocabulary = RUN_WORDS
) -> tuple[Clause, ...]:
    """The clauses of a filter, in order; none for an empty one. `argument` is named in errors.

    Raises: InvalidInputError: names the clause that MLflow would refuse, and the form it takes.
    """
    if not filter_string.strip():
        return ()
    if len(filter_string) > LENGTH_LIMIT:
        raise InvalidInputError(f"{argument} has {len(filter_string):,} characters; at most {LENGTH_LIMIT:,}.")
    if not {"'", '"'} & set(filter_string):
        filter_string = filter_string.translate(_CURLY)
    clauses = tuple(_FilterReader(filter_string, argument, words).clauses())
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
            "backslash at its end. Use LIKE with _ in place of such a character."
        )
    return f"{mark}{value}{mark}"


class _FilterReader(Reader):
    """Reads the clauses of one filter."""

    def __init__(self, text: str, argument: str, words: Vocabulary) -> None:
        super().__init__(text)
        self._argument = argument
        self._words = words

    def clauses(self) -> Iterator[Clause]:
        """Parentheses around clauses change nothing, because only `and` joins them."""
        depth = 0
        while True:
            self.start = self.at
            while self.take(_OPEN):
                depth += 1
            yield self._clause()
            while depth and self.take(_CLOSE):
                depth -= 1
            if self.ended:
                break
            self._take_and()
        if depth:
            raise InvalidInputError(f"{self._argument} has a parenthesis that is not closed. {self._words.form}")

    def _take_and(self) -> None:
        if self.take_word("or"):
            lists = ", or use IN: params.model IN ('cnn', 'mlp')" if "params" in self._words.entities else ""
            raise InvalidInputError(
                f"{self._argument} has an OR, which MLflow does not support: join clauses with and. "
                f"Call once for each alternative{lists}."
            )
        if not self.take_word("and"):
            form = self._words.form
            raise self.wrong(f"Clauses are joined by and. {form}" if self.starts_with(",", ";", "&") else "")
        if self.ended:
            raise InvalidInputError(
                f"{self._argument} ends with 'and'; add a clause after it, or remove it. {self._words.form}"
            )

    def wrong(self, what: str, place: int | None = None) -> InvalidInputError:
        """Names the clause that is being read; `what` is the sentence that follows, else the form of a clause."""
        match = _END_OF_CLAUSE.match(self.text, self.start)
        clause = match[0].strip() if match else ""
        said = f"{what[0].upper()}{what[1:].removesuffix('.')}." if what else self._words.form
        return InvalidInputError(f'{self._argument} has an invalid clause: "{shown(clause)}". {said}')

    def _clause(self) -> Clause:
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
        if not word and (whole := _QUALIFIED.fullmatch(key)) and whole[1].lower() in self._words.entities:
            word, key = whole[1], whole[2]
        entity = self._entity(word, key)
        if entity == "attributes" and key.lower() in self._words.tag_of:
            return "tags", self._words.tag_of[key.lower()]
        if entity == "datasets" and not word:
            key = "name"
        return entity, self._words.same.get(key.lower(), key) if entity == "attributes" else key

    def _entity(self, word: str, key: str) -> str:
        if not word:
            if key.lower() in self._words.attributes:
                return "attributes"
            if key.lower() in ("dataset", "datasets") and key.lower() in self._words.entities:
                return "datasets"
            raise self.wrong(self._words.what_it_is(shown(key)))
        entity = self._words.entities.get(word.lower())
        if entity is None:
            known = ", ".join(dict.fromkeys(self._words.entities.values()))
            raise self.wrong(f"'{word}' is not one of {known}")
        return entity

    def _condition(self, entity: str, key: str) -> str:
        """Comparator and value, as MLflow reads them."""
        if self.take_word("is"):
            negated = "NOT " if self.take_word("not") else ""
            if not self.take_word("null"):
                raise self.wrong(f"Only NULL follows IS. For a value: {entity}.{key_text(key)} = 'value'")
            return f"IS {negated}NULL"
        comparator = self._comparator(entity, key)
        if comparator in ("IN", "NOT IN"):
            return f"{comparator} ({', '.join(self._list())})"
        text = self.quoted("'", '"')
        number = self.number() if text is None else None
        if text is None and number is None:
            bare = self.take(_BARE_VALUE)
            if bare is None:
                raise self.wrong("")
            if entity == "metrics" and bare[0].lower() not in _NOT_FINITE:
                raise self.wrong(f"A metric is compared with a number: {entity}.{key_text(key)} {comparator} 0.9")
            if entity != "metrics":
                name = f"{entity}.{key_text(key)}"
                raise self.wrong(f"Text values need quotes: {name} {comparator} '{shown(bare[0])}'")
            text = bare[0]
        if number is not None and self.starts_with("%"):
            part = f"{entity}.{key_text(key)} {comparator} {float(number) / 100:g}"
            raise self.wrong(f"There is no percentage; values are compared as they were logged: {part}")
        return f"{comparator} {self._value(entity, key, comparator, text, number)}"

    def _comparator(self, entity: str, key: str) -> str:
        name = f"{entity}.{key_text(key)}"
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
        if found and (spaced := self._spaced(f"{key} {found[0]}")):
            raise self.wrong(f"A name with spaces stands in backticks: {entity}.`{spaced}`")
        raise self.wrong("")

    def _spaced(self, key: str) -> str:
        """The key with the words that follow it, up to a comparison; empty when there is none."""
        while more := self.take(_KEY_WORD):
            key += f" {more[0]}"
        return key if self.take(_COMPARISON) else ""

    def _value(self, entity: str, key: str, comparator: str, text: str | None, number: str | None) -> str:
        name = f"{entity}.{key_text(key)}"
        if entity == "metrics" and comparator not in _SIGNS:
            raise self.wrong(f"Metrics are numbers: {name} >= 0.9")
        if text is None and entity in ("attributes", "datasets") and key not in _NUMERIC:
            return f"'{number}'"
        if text is None:
            # Params are compared with numbers by local_clauses.py.
            if entity == "tags":
                raise self.wrong(f"Tags are stored as text: {name} {comparator} '{number}'")
            return number or ""
        if comparator.endswith("LIKE") and "*" in text and "%" not in text:
            raise self.wrong(f"The wildcard is %: {name} {comparator} '{shown(text.replace('*', '%'))}'")
        if entity == "metrics":
            if comparator in ("=", "!=") and text.strip().lower() in _NOT_FINITE:
                return f"'{_NOT_FINITE[text.strip().lower()]}'"
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
