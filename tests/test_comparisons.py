"""One grammar of keys, quotes and numbers for filters and gates."""

from __future__ import annotations

import pytest

from mcp_server.comparisons import Reader, key_text, text_in_quotes
from mcp_server.errors import InvalidInputError

TEXTS = ["plain", "val/acc-top1", "it's", 'say "x"', "both ' and \"", "`", "``", "a and b", "", " ", "ü µ", "C:\\dir\\"]


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_a_key_reads_back_whatever_it_holds(text: str):
    """Writing quotes and reading them are one rule."""
    reader = Reader(key_text(text) + " > 1")
    assert reader.key() == text
    assert reader.sign() == ">"
    assert reader.number() == "1"
    assert reader.ended


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_reads_back_whatever_it_holds(text: str):
    """The same for values; the two ways to quote one mean the same."""
    assert Reader(text_in_quotes(text)).quoted("'", '"') == text
    doubled = text.replace('"', '""')
    assert Reader(f'"{doubled}"').quoted("'", '"') == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [("'open", "the ' is not closed"), ("``", "the name is empty"), ("`open", "the ` is not closed")],
)
def test_bad_quotes_are_named(text: str, problem: str):
    """The error names the quote that is open, or the name that is missing."""
    with pytest.raises(InvalidInputError, match=problem):
        Reader(text).key() or Reader(text).quoted("'")


@pytest.mark.parametrize("text", ["0.9abc", "1.2.3", "1e5x"])
def test_a_number_with_letters_behind_it_is_refused(text: str):
    """Otherwise 0.9abc would be read as 0.9."""
    with pytest.raises(InvalidInputError, match="is not a number"):
        Reader(text).number()
