"""Promotion gates: read, written, judged."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.analysis.gate_sentences import AliasValue, Gate
from mcp_server.analysis.gates import Evidence, GateResult, check_gates, parse_gates
from mcp_server.errors import InvalidInputError

NOTHING = Evidence()


def judge(text: str, candidate: Evidence, champion: Evidence | None = NOTHING) -> GateResult:
    (result,) = check_gates(parse_gates([text]), candidate, {"champion": champion})
    return result


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("metrics.accuracy >= 0.9", Gate("metrics", "accuracy", ">=", 0.9)),
        ("  metric.accuracy>=.9  ", Gate("metrics", "accuracy", ">=", 0.9)),
        ("metrics.a > champion + 0.005", Gate("metrics", "a", ">", AliasValue("champion", 0.005))),
        ("metrics.a < champion-1%", Gate("metrics", "a", "<", AliasValue("champion", -1.0, True))),
        ("metrics.a <= Champion", Gate("metrics", "a", "<=", AliasValue("Champion"))),
        ("metrics.val_auc > prod + 0.005", Gate("metrics", "val_auc", ">", AliasValue("prod", 0.005))),
        ("metrics.a > prod-eu-1%", Gate("metrics", "a", ">", AliasValue("prod-eu", -1.0, True))),
        ("metrics.a > @prod", Gate("metrics", "a", ">", AliasValue("prod"))),
        ("metrics.a > `blue-2` - 1", Gate("metrics", "a", ">", AliasValue("blue-2", -1.0))),
        ("metrics.a > blue-2", Gate("metrics", "a", ">", AliasValue("blue", -2.0))),
        ("metrics.a >= champion + 0%", Gate("metrics", "a", ">=", AliasValue("champion"))),
        ("metrics.a < -1e-3", Gate("metrics", "a", "<", -0.001)),
        ("params.model == 'cnn'", Gate("params", "model", "=", "cnn")),
        ("parameters.depth >= 5", Gate("params", "depth", ">=", 5.0)),
        ('tags.stage != "dev"', Gate("tags", "stage", "!=", "dev")),
        ("tags.note = 'it''s and that'", Gate("tags", "note", "=", "it's and that")),
        ("metrics.`val acc` > 1", Gate("metrics", "val acc", ">", 1.0)),
        ('metrics."val `acc`" > 1', Gate("metrics", "val `acc`", ">", 1.0)),
        ("metrics.val/f1-score@5 > 1", Gate("metrics", "val/f1-score@5", ">", 1.0)),
        ("metrics.and > 1", Gate("metrics", "and", ">", 1.0)),
    ],
)
def test_gates_are_read_as_they_are_written_by_hand(text: str, gate: Gate):
    """MLflow's filter words and quotes, with or without spaces."""
    assert parse_gates([text]) == (gate,)


def test_gates_joined_with_and_become_several():
    """As if they had been given one by one."""
    joined = parse_gates(["metrics.a > 1 and metrics.b < 2 AND tags.c = 'and'", "params.d = 3"])
    assert [gate.text for gate in joined] == ["metrics.a > 1", "metrics.b < 2", "tags.c = 'and'", "params.d = 3"]
    assert parse_gates([]) == ()
    assert parse_gates("metrics.a > 1") == parse_gates(["metrics.a > 1"])


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("", 1, "it is empty"),
        ("accuracy > 3", 1, "expected metrics., params. or tags. and a name, found 'accuracy'"),
        ("metrics. > 1", 10, "expected a name after the dot, found '>'"),
        ("metrics.`` > 1", 9, "the name is empty"),
        ("metrics.a >> 3", 11, "expected >, >=, <, <=, = or !=, found '>>'"),
        ("metrics.val acc > 1", 13, "found 'acc'; a name with spaces goes in `backticks`"),
        ("metrics.a", 10, "expected >, >=, <, <=, = or !=, found the end"),
        ("metrics.a > champion * 0.98", 22, "for champion * 0.98 write champion - 2%"),
        ("metrics.a > champion.b", 21, "write champion alone"),
        ("metrics.a > champion +", 23, "expected a number, found the end"),
        ("metrics.a > champion + -1", 24, "the margin has two signs"),
        ("metrics.a > true", 13, "expected a number or an alias, found 'true'"),
        ("metrics.a > ", 13, "expected a number or an alias, found the end"),
        ("metrics.a > nan", 13, "expected a number or an alias, found 'nan'"),
        ("metrics.a > 90%", 15, "a percentage follows an alias and + or -"),
        ("metrics.a > 1e999", 13, "the number is too large"),
        ("metrics.a > 1.2.3", 13, "'1.2.3' is not a number"),
        ("metrics.a > '1'", 13, "a metric is compared with a number, without quotes"),
        ("params.m > 'a'", 10, "a text is compared with = or !=, not >"),
        ("params.m = cnn", 12, "expected a number or a text in quotes, found 'cnn'"),
        ("tags.m = champion", 10, "expected a number or a text in quotes, found 'champion'"),
        ("tags.a = 'x", 10, "the ' is not closed"),
        ("metrics.a > 1 or metrics.b > 2", 15, "every gate must hold, so there is no or"),
        ("metrics.a > 1 and", 18, "expected metrics., params. or tags. and a name, found the end"),
    ],
)
def test_a_malformed_gate_is_answered_with_the_place_and_right_examples(text: str, place: int, what: str):
    """The character, what stands around it, and gates to copy."""
    with pytest.raises(InvalidInputError) as caught:
        parse_gates([text])
    assert str(caught.value).startswith(f"The gate is malformed at character {place}: ")
    assert what in str(caught.value)
    assert f'in "{text}"' in str(caught.value)
    assert str(caught.value).endswith(
        "Examples: metrics.accuracy >= 0.9, metrics.loss < champion - 1%, tags.reviewed = 'yes'."
    )


def test_of_several_gates_the_malformed_one_is_named_and_a_long_one_excerpted():
    """The excerpt keeps 30 characters on each side."""
    with pytest.raises(InvalidInputError, match=r"^Gate 2 is malformed at character 10:"):
        parse_gates(["metrics.a > 1", "metrics. > 1"])
    with pytest.raises(InvalidInputError) as caught:
        parse_gates(["metrics." + "a" * 500 + " ? 1" + " " * 500])
    assert len(str(caught.value)) < 400


def test_numbers_are_compared_exactly_as_shown():
    """0.1 + 0.2 is 0.3 here, and a hair below is below."""
    champion = Evidence({"a": 0.1})
    assert judge("metrics.a >= champion + 0.2", Evidence({"a": 0.3}), champion) == GateResult(
        "metrics.a >= champion + 0.2", True, "0.3", ">= 0.3", ""
    )
    assert not judge("metrics.a >= 0.3", Evidence({"a": math.nextafter(0.3, 0)})).passed
    assert not judge("metrics.a > 0.3", Evidence({"a": 0.3})).passed


def test_a_percentage_is_of_the_champions_magnitude():
    """So plus raises the threshold below zero too."""
    assert judge("metrics.a > champion + 10%", Evidence({"a": 1.0}), Evidence({"a": 0.5})).required == "> 0.55"
    assert judge("metrics.a > champion + 10%", Evidence({"a": 1.0}), Evidence({"a": -0.5})).required == "> -0.45"
    assert judge("metrics.a < champion - 1%", Evidence({"a": 1.0}), Evidence({"a": 0.3})).required == "< 0.297"


def test_a_failed_gate_says_measured_and_required():
    """Both as text, all digits."""
    found = judge("metrics.a > champion + 0.005", Evidence({"a": 0.91}), Evidence({"a": 0.905}))
    assert found == GateResult(
        "metrics.a > champion + 0.005", False, "0.91", "> 0.91", "measured 0.91, required > 0.91"
    )
    assert judge("tags.r = 'yes'", Evidence(tags={"r": "no"})).reason == "measured 'no', required = 'yes'"


def test_what_is_missing_fails_and_names_the_closest():
    """Also when the gate says unequal."""
    found = judge("metrics.acc > 0", Evidence({"accuracy": 1.0}))
    assert (found.passed, found.measured, found.required) == (False, None, "> 0")
    assert found.reason == "the candidate has no metric 'acc'. Closest: accuracy."
    assert not judge("tags.stage != 'dev'", NOTHING).passed
    assert not judge("metrics.a > champion", NOTHING, None).passed


@pytest.mark.parametrize(
    ("value", "shown", "word"),
    [(math.nan, "NaN", "NaN"), (math.inf, "Infinity", "infinite"), (-math.inf, "-Infinity", "infinite")],
)
@pytest.mark.parametrize("comparator", [">", ">=", "<", "<=", "=", "!="])
def test_nan_and_infinity_never_pass(value: float, shown: str, word: str, comparator: str):
    """On neither side, with or without a champion."""
    for text in (f"metrics.a {comparator} 0", f"metrics.a {comparator} champion"):
        for champion in (None, NOTHING, Evidence({"a": 1.0})):
            found = judge(text, Evidence({"a": value}), champion)
            assert (found.passed, found.measured) == (False, shown)
            assert found.reason == f"the candidate's a is {word}, which never passes"
    assert not judge(f"metrics.a {comparator} champion", Evidence({"a": 1.0}), Evidence({"a": value})).passed


def test_a_gate_whose_alias_no_version_has_fails():
    """There is nothing to compare with, also when the alias's version lacks the metric."""
    found = judge("metrics.a > champion + 5", Evidence({"a": 9.0}), None)
    assert (found.passed, found.required, found.alias, found.alias_unused) == (False, None, "champion", True)
    assert found.reason == "nothing to compare with: no version has the alias champion"
    found = judge("metrics.a > champion + 5", Evidence({"a": 9.0}), NOTHING)
    assert (found.passed, found.alias_unused) == (False, False)
    assert found.reason == "nothing to compare with: the version of champion has no metric 'a'"


def test_each_gate_is_compared_with_the_version_of_its_own_alias():
    """`champion` is the alias called champion, whatever else there is."""
    by_alias = {"champion": Evidence({"a": 0.5}), "prod": Evidence({"a": 0.7}), "old": None}
    gates = parse_gates(["metrics.a > champion", "metrics.a > prod", "metrics.a > old"])
    found = check_gates(gates, Evidence({"a": 0.6}), by_alias)
    assert [(result.passed, result.required) for result in found] == [(True, "> 0.5"), (False, "> 0.7"), (False, None)]


def test_params_and_tags_are_numbers_or_text_as_the_gate_writes_them():
    """5 holds for "5.0"; '5' does not."""
    deep = Evidence(params={"depth": "5.0", "model": "cnn"})
    assert judge("params.depth = 5", deep).passed
    assert not judge("params.depth = '5'", deep).passed
    assert judge("params.model != 'mlp'", deep).passed
    assert judge("params.model > 5", deep).reason == "the candidate's model is 'cnn', which is not a number"


def test_a_threshold_beyond_every_float_is_still_a_threshold():
    """No overflow, and it cannot be reached."""
    huge = Evidence({"a": 1.7e308})
    found = judge("metrics.a > champion + 50%", huge, huge)
    assert (found.passed, found.required) == (False, "> 2.55E+308")


def test_a_threshold_between_two_floats_is_shown_with_all_its_digits():
    found = judge("metrics.a > champion + 1e-17", Evidence({"a": 0.5}), Evidence({"a": 0.3}))
    assert (found.passed, found.required) == (True, "> 0.30000000000000001")


COMPARATORS = st.sampled_from([">", ">=", "<", "<=", "=", "!="])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.text(min_size=1, max_size=12)


def gates(numbers: st.SearchStrategy[float], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Gate]:
    aliases = st.sampled_from(["champion", "prod-eu", "blue-2", "2", "nan", "a`b", "über", " "])
    margins = st.builds(AliasValue, aliases, numbers, st.booleans()).map(
        lambda value: value if value.amount else AliasValue(value.alias)
    )
    return st.one_of(
        st.builds(Gate, st.just("metrics"), keys, COMPARATORS, numbers | margins),
        st.builds(Gate, st.sampled_from(["params", "tags"]), keys, COMPARATORS, numbers),
        st.builds(Gate, st.sampled_from(["params", "tags"]), keys, st.sampled_from(["=", "!="]), st.text(max_size=8)),
    )


@given(st.lists(gates(NUMBERS, KEYS), min_size=1, max_size=3))
def test_every_gate_is_read_back_from_its_own_sentence(given_gates: list[Gate]):
    """Any name, any text, any number; one by one and joined."""
    texts = [gate.text for gate in given_gates]
    assert list(parse_gates(texts)) == given_gates
    assert list(parse_gates([" and ".join(texts)])) == given_gates


@given(st.text(max_size=40) | st.text(alphabet="metrics.params tags`'\"<>=!+-%*10e champion and\n", max_size=40))
def test_any_text_is_a_gate_or_an_invalid_input(text: str):
    """No other exception; what is accepted has a sentence of its own."""
    try:
        found = parse_gates([text])
    except InvalidInputError as error:
        assert "Examples: metrics.accuracy >= 0.9" in str(error)
    else:
        assert parse_gates([gate.text for gate in found]) == found


@given(gates(NUMBERS, KEYS), st.integers(0, 60), st.text(max_size=2))
def test_a_damaged_gate_is_a_gate_or_an_invalid_input(gate: Gate, place: int, noise: str):
    """A right sentence with a piece replaced."""
    text = gate.text
    try:
        parse_gates([text[:place] + noise + text[place + 1 :]])
    except InvalidInputError as error:
        assert "malformed at character" in str(error)


@given(gates(NUMBERS, st.just("a")), NUMBERS, NUMBERS)
def test_every_gate_can_be_judged(gate: Gate, value: float, champion: float):
    """The verdict is that of exact arithmetic for plain numbers."""
    by_alias = {gate.alias: Evidence({"a": champion})}
    (found,) = check_gates([gate], Evidence({"a": value}, {"a": str(value)}, {"a": str(value)}), by_alias)
    if isinstance(gate.required, float) and gate.comparator == ">":
        assert found.passed == (Fraction(value) > Fraction(gate.required))
    assert bool(found.reason) != found.passed
