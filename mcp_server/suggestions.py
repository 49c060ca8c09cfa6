"""What the caller probably meant: the names closest to one that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Final

from mcp_server.listing import listed

LIKENESS: Final = 0.6
"""Least score, of 1, at which a name is worth suggesting; difflib's own cutoff."""

SUGGESTION_LENGTH: Final = 250
"""Characters of a name that are compared: MLflow's own limit for keys; matching is quadratic in it."""

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|[^\W\dA-Za-z_]+|\d+")


def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, digits with the letters before: `eval-Top1Error` is eval, top1, error."""
    return tuple(word.lower() for word in _WORDS.findall(name))


def closest(name: str, candidates: Iterable[str], n: int = 3) -> tuple[str, ...]:
    """At most `n` of the candidates that somebody who typed `name` may have meant, the likeliest first.

    Case does not count, nor do separators (valloss, val_loss) or the order of words (accuracy_val, val_accuracy);
    a part stands for the whole (acc, accuracy). Empty when nothing is close. Equal scores in alphabetical order.
    """
    matcher: SequenceMatcher[str] = SequenceMatcher(autojunk=False)
    sorted_matcher: SequenceMatcher[str] = SequenceMatcher(autojunk=False)
    name = name[:SUGGESTION_LENGTH]
    tokens = words(name)
    matcher.set_seq2("".join(tokens))
    sorted_matcher.set_seq2("".join(sorted(tokens)))
    scored: list[tuple[float, str]] = []
    for candidate in dict.fromkeys(candidates):
        other = words(candidate[:SUGGESTION_LENGTH])
        matcher.set_seq1("".join(other))
        sorted_matcher.set_seq1("".join(sorted(other)))
        score = max(
            _exact(name, candidate),
            _contained(tokens, other),
            _ratio(matcher),
            _ratio(sorted_matcher) - 0.01,
            _one_word(tokens, other),
        )
        if score >= LIKENESS:
            scored.append((-score, candidate))
    return tuple(candidate for _, candidate in sorted(scored)[: max(n, 0)])


def suggestion(name: str, candidates: Iterable[str]) -> str:
    """The sentence that ends an error about an unknown name: the closest ones, else the first few there are."""
    known = sorted(set(candidates))
    near = closest(name, known)
    if near:
        return f"Closest: {', '.join(near)}."
    if not known:
        return "There are none."
    return f"There are: {listed(known)}."


def _ratio(matcher: SequenceMatcher[str]) -> float:
    """`matcher.ratio()`, or 0 where its cheap upper bounds already rule it out."""
    if matcher.real_quick_ratio() < LIKENESS or matcher.quick_ratio() < LIKENESS:
        return 0.0
    return matcher.ratio()


def _exact(name: str, candidate: str) -> float:
    return 2.0 if name == candidate else 1.5 if name.casefold() == candidate.casefold() else 0.0


def _contained(tokens: tuple[str, ...], other: tuple[str, ...]) -> float:
    """A score when one name is part of the other, as text or word by word; more when more of it is covered."""
    short, long = sorted(("".join(tokens), "".join(other)), key=len)
    if len(short) < 2:
        return 0.0
    if short in long or _shortens(tokens, other) or _shortens(other, tokens):
        return 0.7 + 0.25 * len(short) / len(long)
    return 0.0


def _one_word(tokens: tuple[str, ...], other: tuple[str, ...]) -> float:
    """A score for a single misspelt word of a longer name: `filtr` for `filter_string`."""
    if len(tokens) != 1 or len(tokens[0]) < 4:
        return 0.0
    return max((0.75 * _ratio(SequenceMatcher(None, tokens[0], word)) for word in other), default=0.0)


def _shortens(tokens: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether every word begins a different word of the other name: `acc_val` shortens `val_accuracy`."""
    left = list(other)
    for token in tokens:
        match = next((word for word in left if len(token) > 1 and word.startswith(token)), None)
        if match is None:
            return False
        left.remove(match)
    return bool(tokens)


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """` Closest: a, b.` with a leading space, or nothing when nothing is close."""
    near = closest(name, candidates)
    return f" Closest: {', '.join(near)}." if near else ""
