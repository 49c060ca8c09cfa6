"""Reads `order_by`: each entry becomes the column that MLflow sorts by."""

from __future__ import annotations

import re

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.operations.filters import parse_filter


def order_column(text: str) -> str:
    """One order_by entry as MLflow reads it. Raises: InvalidInputError: not `metrics.accuracy DESC` or the like."""
    match = re.fullmatch(
        r"\s*(?:(?P<entity>\w+)\.)?(?P<key>`[^`]+`|\"[^\"]+\"|\S+?)(?:\s+(?P<way>ASC|DESC))?\s*", text, re.IGNORECASE
    )
    form = "Form: metrics.accuracy DESC, params.lr ASC or attributes.start_time DESC."
    if match is None:
        raise InvalidInputError(f'order_by has an invalid entry: "{text}". {form}')
    try:
        # The same words and quotes as in a filter, so the filter's parser judges them.
        value = "0" if (match["entity"] or "").lower().startswith("metric") else "''"
        (clause,) = parse_filter(f"{match['entity'] + '.' if match['entity'] else ''}{match['key']} = {value}")
    except (InvalidInputError, ValueError):
        raise InvalidInputError(f'order_by has an invalid entry: "{text}". {form}') from None
    column = str(clause).removesuffix(f" {clause.condition}")
    return f"{column} {(match['way'] or 'ASC').upper()}"
