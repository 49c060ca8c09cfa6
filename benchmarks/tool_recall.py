"""Whether a host that searches tools by their descriptions finds the right one: BM25 over names and descriptions.

The queries are those of `tests/questions`: phrasings that descriptions were written with, held-out requests, and what a
team asks in its own words. Hosts with many servers load only the tools
that such a search returns. The reference implementation is Robertson's BM25 with stop words and inflections removed.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.questions.held_out import FIRST, HELD_OUT  # noqa: E402
from tests.questions.phrasings import PHRASINGS  # noqa: E402
from tests.questions.team_phrasings import PHRASINGS as OF_A_TEAM  # noqa: E402

K1, B = 1.2, 0.75
"""Robertson's usual constants."""
STOP_WORDS: Final = frozenset(
    [
        "a",
        "all",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "by",
        "did",
        "do",
        "does",
        "for",
        "from",
        "give",
        "had",
        "has",
        "have",
        "here",
        "i",
        "in",
        "is",
        "it",
        "its",
        "me",
        "my",
        "of",
        "on",
        "or",
        "our",
        "out",
        "show",
        "so",
        "some",
        "tell",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "this",
        "to",
        "too",
        "us",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "you",
        "your",
    ]
)
ALSO: Final = {
    "why did crashed fail": ("diagnose_run",),
    "which runs failed": ("summarize_experiment",),
    "what is still running": ("summarize_experiment", "wait_for_runs"),
    "the children of parent": ("get_run",),
    "which runs belong to parent": ("search_runs",),
    "what went wrong with crashed": ("get_run",),
    "newest run of vision": ("summarize_experiment",),
}
"""Other tools whose answer contains what is asked for."""


def tokens(text: str) -> list[str]:
    words = (word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in STOP_WORDS)
    return [re.sub(r"(?:ning|ing|ed|es|s|e)$", "", word) if len(word) > 3 else word for word in words]


def documents() -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for path in sorted((ROOT / "tests/snapshots/tools").glob("*.json")):
        tool = json.loads(path.read_text())
        found[tool["name"]] = Counter(tokens(f"{tool['name'].replace('_', ' ')} {tool['description']}"))
    return found


def ranking(query: str, found: dict[str, Counter[str]]) -> list[str]:
    mean = sum(sum(words.values()) for words in found.values()) / len(found)
    scores: dict[str, float] = {}
    for name, words in found.items():
        length = sum(words.values())
        for token in tokens(query):
            if words[token]:
                holding = sum(1 for other in found.values() if other[token])
                rarity = math.log(1 + (len(found) - holding + 0.5) / (holding + 0.5))
                often = words[token] * (K1 + 1) / (words[token] + K1 * (1 - B + B * length / mean))
                scores[name] = scores.get(name, 0.0) + rarity * often
    return sorted(scores, key=lambda name: -scores[name])


def main() -> None:
    found = documents()
    known = [({tool, *ALSO.get(phrase, ())}, phrase) for phrase, tool, _, _ in PHRASINGS]
    report("phrasings that descriptions were written with", known, found)
    report("two requests for each tool, known to a few words of the descriptions", of(FIRST), found)
    report("held-out requests, one for each tool", of(HELD_OUT), found)
    team = [({tool for tool, _ in calls}, phrase) for phrase, calls, _ in OF_A_TEAM]
    report("what a team asks, in words of its own", team, found)


def of(requests: Sequence[tuple[str, str]]) -> list[tuple[set[str], str]]:
    return [({tool}, phrase) for phrase, tool in requests]


def report(what: str, queries: Sequence[tuple[set[str], str]], found: dict[str, Counter[str]]) -> None:
    places = [(right, phrase, ranking(phrase, found)) for right, phrase in queries]
    print(f"{what}: {len(places)}")
    for most, least in ((1, 0.65), (3, 0.9)):
        hits = sum(bool(right & set(order[:most])) for right, _, order in places)
        print(f"  recall@{most}: {hits / len(places):.2f} (aim: at least {least})")
    for right, phrase, order in places:
        if not right & set(order[:3]):
            print(f"  missed: {phrase!r} wants {' or '.join(sorted(right))}, found {', '.join(order[:3])}")


if __name__ == "__main__":
    main()
