"""Promotion gates: what a candidate must show before it may have an alias.

How a gate is judged:
- Numbers are compared exactly, as the decimal numbers that are shown: there is no hidden tolerance, and
  `champion + 0.2` of a champion with 0.1 is 0.3, not the 0.30000000000000004 of binary sums.
- A percentage is of the magnitude of the other version's value, so `+` always raises and `-` always lowers the
  threshold; of 0 it is 0.
- What is missing fails, also for `!=`. NaN and infinities never pass, on either side.
- A gate against an alias that no version has fails: there is nothing to compare with.
- A param or tag compared with a number must be a number: `params.depth >= 5` holds for "5.0"; in quotes it is compared
  as text, letter by letter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from mcp_server.analysis.gate_sentences import AliasValue, Gate, number_text
from mcp_server.analysis.gate_sentences import parse_gates as parse_gates
from mcp_server.comparisons import NUMBER, TESTS, text_in_quotes
from mcp_server.suggestions import suggestion


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a model version: the metrics and params of its run, and its tags."""

    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class GateResult:
    gate: str
    """The gate as a sentence."""
    passed: bool
    measured: str | None
    """The candidate's value, all its digits; None when it has none."""
    required: str | None
    """Comparator and computed threshold: `> 0.905`, `= 'yes'`; None when the alias gives none."""
    reason: str
    """Why it failed, or why it passed without a comparison; empty when it passed by comparison."""
    alias: str = field(default="", compare=False)
    """The alias that the gate compares with; empty if it compares with none."""
    alias_unused: bool = field(default=False, compare=False)
    """True when no version has that alias."""


class _Undecidable(Exception):
    """The values do not allow a comparison; the gate does not hold, for the reason given."""


def check_gates(
    gates: Sequence[Gate], candidate: Evidence, by_alias: Mapping[str, Evidence | None]
) -> tuple[GateResult, ...]:
    """Judge every gate, in order.

    `by_alias` has what is known of the current version of each alias that a gate names, None where no version has it.
    """
    return tuple(_check(gate, candidate, by_alias.get(gate.alias)) for gate in gates)


def _check(gate: Gate, candidate: Evidence, other: Evidence | None) -> GateResult:
    values: Mapping[str, float | str] = getattr(candidate, gate.kind)
    if gate.key not in values:
        noun = gate.kind.removesuffix("s")
        reason = f"the candidate has no {noun} '{gate.key}'. {suggestion(gate.key, values)}"
        return GateResult(gate.text, False, None, _required(gate, None), reason, gate.alias)
    value = values[gate.key]
    measured = value if isinstance(value, str) else number_text(value)
    threshold: Fraction | str | None = None
    try:
        found = value if isinstance(gate.required, str) else _exact(value, f"the candidate's {gate.key}")
        if gate.alias and other is None:
            reason = f"nothing to compare with: no version has the alias {gate.alias}"
            return GateResult(gate.text, False, measured, None, reason, gate.alias, alias_unused=True)
        threshold = _threshold(gate, other)
    except _Undecidable as why:
        return GateResult(gate.text, False, measured, _required(gate, threshold), str(why), gate.alias)
    passed = TESTS[gate.comparator](found, threshold)
    required = _required(gate, threshold)
    reason = "" if passed else f"measured {_shown(measured, gate)}, required {required}"
    return GateResult(gate.text, passed, measured, required, reason, gate.alias)


def _threshold(gate: Gate, other: Evidence | None) -> Fraction | str:
    """What the candidate's value is compared with.

    Raises: _Undecidable: the alias's version lacks the metric or has no finite value of it.
    """
    required = gate.required
    if isinstance(required, str):
        return required
    if not isinstance(required, AliasValue):
        return _exact(required, "the threshold")
    if other is None or gate.key not in other.metrics:
        raise _Undecidable(f"nothing to compare with: the version of {required.alias} has no metric '{gate.key}'")
    base = _exact(other.metrics[gate.key], f"the {gate.key} of {required.alias}")
    amount = _exact(required.amount, "the margin")
    return base + (abs(base) * amount / 100 if required.percent else amount)


def _exact(value: float | str, whose: str) -> Fraction:
    """The decimal number as it is shown, without the rounding of binary arithmetic."""
    if isinstance(value, str):
        text = value.strip()
        if not NUMBER.fullmatch(text):
            raise _Undecidable(f"{whose} is '{value}', which is not a number")
        value = float(text)
    if not math.isfinite(value):
        raise _Undecidable(f"{whose} is {'NaN' if math.isnan(value) else 'infinite'}, which never passes")
    # Through the shortest decimal of the double, so an exponent is never larger than a double allows.
    return Fraction(Decimal(repr(float(value))))


def _required(gate: Gate, threshold: Fraction | str | None) -> str | None:
    """Comparator and threshold as text; an alias's threshold only when it was computed."""
    if isinstance(gate.required, AliasValue):
        return f"{gate.comparator} {_fraction_text(threshold)}" if isinstance(threshold, Fraction) else None
    text = number_text(gate.required) if not isinstance(gate.required, str) else _shown(gate.required, gate)
    return f"{gate.comparator} {text}"


def _fraction_text(value: Fraction) -> str:
    """All digits of a threshold where a double has them, else with as many as Decimal carries (28)."""
    try:
        double = float(value)
    except OverflowError:
        double = math.inf
    if math.isfinite(double) and Fraction(Decimal(repr(double))) == value:
        return number_text(double)
    return str((Decimal(value.numerator) / Decimal(value.denominator)).normalize())


def _shown(text: str, gate: Gate) -> str:
    """A value in the quotes of the gate that asks for it."""
    return text_in_quotes(text) if isinstance(gate.required, str) else text
