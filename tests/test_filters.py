"""Filters are read clause by clause: what MLflow takes is sent as it reads it, everything else is refused by name."""

from __future__ import annotations

import pytest

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.searching.filters import (
    CLAUSE_LIMIT,
    LENGTH_LIMIT,
    join_clauses,
    parse_filter,
)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("", ""),
        ("metrics.acc>0.9 AND param.model == 'cnn'", "metrics.acc > 0.9 and params.model = 'cnn'"),
        ("metrics.`val acc` >= 1e-3", "metrics.`val acc` >= 1e-3"),
        ('metrics."val/acc" < .5', "metrics.`val/acc` < .5"),
        ("metrics.acc > '0.9'", "metrics.acc > 0.9"),
        ("params.x = 'a and b'", "params.x = 'a and b'"),
        ("params.x = 'it''s'", 'params.x = "it\'s"'),
        ('tags.note = "it\'s"', 'tags.note = "it\'s"'),
        ("tags.x is not null", "tags.x IS NOT NULL"),
        ("run_name ilike '%res%'", "attributes.run_name ILIKE '%res%'"),
        ("run.status = 'FAILED' and attr.run_name = 'x'", "attributes.status = 'FAILED' and attributes.run_name = 'x'"),
        ("run_id NOT IN ('a','b')", "attributes.run_id NOT IN ('a', 'b')"),
        ("params.model = 'a*b'", "params.model = 'a*b'"),
        (
            "(metrics.a > 1 and (tags.x = '(y')) and run_id IN ('a')",
            "metrics.a > 1 and tags.x = '(y' and attributes.run_id IN ('a')",
        ),
        ("created_at > 5 and metrics.a = nan", "attributes.start_time > 5 and metrics.a = 'NaN'"),
        ("parent_run_id = 'x'", "tags.mlflow.parentRunId = 'x'"),
        ("metrics['val acc'] > 1", "metrics.`val acc` > 1"),
        ('"metrics.val acc" > 1', "metrics.`val acc` > 1"),
        ("dataset = 'x'", "datasets.name = 'x'"),
        ("datasets.digest = 'x'", "datasets.digest = 'x'"),
        ("metrics.a = -inf", "metrics.a = '-Infinity'"),
        ("metrics.a != Infinity", "metrics.a != 'Infinity'"),
    ],
)
def test_what_mlflow_takes_is_sent_in_its_form(given: str, sent: str):
    """Spaces, case of words, singular names and doubled quotes do not matter."""
    assert join_clauses(parse_filter(given)) == sent


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("acc > 0.9", "metrics.acc, params.acc or tags.acc"),
        ("metrics.acc >> 0.9", '"metrics.acc >> 0.9". Form:'),
        ("metrics.acc > high", "metrics.acc > 0.9"),
        ("metrics.acc > 'high'", "Metrics are numbers"),
        ("metrics.a > 1 and score.b > 2 and metrics.c > 3", '"score.b > 2"'),
        ("tags.x = 1", "tags.x = '1'"),
        ("params.x LIKE 'res*'", "params.x LIKE 'res%'"),
        ("status = FINISHED", "attributes.status = 'FINISHED'"),
        ("metrics.a > 1 or metrics.b > 1", "join clauses with and"),
        ("(metrics.a > 1", "a parenthesis that is not closed"),
        ("metrics.a > 1)", '"metrics.a > 1)". Form:'),
        ("metrics.val acc > 1", "metrics.`val acc`"),
        ("metrics.a LIKE '0.9%'", "metrics.a >= 0.9"),
        ("not metrics.a > 1", "A clause cannot begin with NOT"),
        ("metrics.a > 1 and", "ends with 'and'"),
        ("metrics.a > 1, metrics.b > 1", "Clauses are joined by and."),
        ("metrics.a > ", '"metrics.a >". Form:'),
        ("metrics. > 1", '"metrics. > 1". Form:'),
        ("metrics.a > 90%", "as they were logged: metrics.a > 0.9"),
        ("tags.a is 'x'", "Only NULL follows IS. For a value: tags.a = 'value'"),
        ("params.x IN ()", "The list is empty"),
        ("params.x IN 'a'", "IN needs a list"),
        ("run_id IN ('a' 'b')", "separated by commas"),
        ("params.x = 'open", "the ' is not closed"),
        ("metrics.`` > 1", "name is empty"),
        ("params.x = 'C:\\'", "no backslash at its end"),
        ("params.x = 'both '' and \"'", "one kind of quotes"),
        ("metrics.a > 1 and " * CLAUSE_LIMIT + "metrics.a > 1", f"at most {CLAUSE_LIMIT}"),
        ("x" * (LENGTH_LIMIT + 1), f"at most {LENGTH_LIMIT:,}"),
    ],
)
def test_everything_else_is_refused_with_what_is_right(given: str, said: str):
    """Before anything is sent; the sentence names the clause or has its right form."""
    with pytest.raises(InvalidInputError) as refused:
        parse_filter(given)
    assert said.casefold() in str(refused.value).casefold()
