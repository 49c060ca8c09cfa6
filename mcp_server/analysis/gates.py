"""Promotion gates: what a candidate must show before it may hold an alias.

How a gate is judged:
- Numbers are compared exactly, as the decimal numbers that are shown: there is no hidden tolerance, and
  `champion + 0.2` of a champion with 0.1 is 0.3, not the 0.30000000000000004 of binary sums.
- A percentage is of the magnitude of the champion's value, so `+` always raises and `-` always lowers the threshold;
  of 0 it is 0.
- What is missing fails, also `!=`. NaN and infinities never pass, whichever side they are on.
- Without a champion there is nothing to beat: a gate against the champion passes, if the candidate has the metric.
- A param or tag compared with a number must be a number: `params.depth >= 5` holds for "5.0"; in quotes it is compared
  as text, letter by letter.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from mcp_server.analysis.gate_sentences import NUMBER, ChampionMargin, Comparator, Gate, number_text
from mcp_server.analysis.gate_sentences import parse_gates as parse_gates
from mcp_server.suggestions import suggestion

_TESTS: Final[Mapping[Comparator, Callable[[Any, Any], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}


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
    """Comparator and computed threshold: `> 0.905`, `= 'yes'`; None when the champion gives none."""
    reason: str
    """Why it failed; empty when it passed, or `no champion yet`."""


class _Undecidable(Exception):
    """The values do not allow a comparison; the gate does not hold, for the reason given."""


def check_gates(gates: Sequence[Gate], candidate: Evidence, champion: Evidence | None) -> tuple[GateResult, ...]:
    """Judge every gate, in order; `champion` is None when nothing holds the alias yet."""
    return tuple(_check(gate, candidate, champion) for gate in gates)


def implies(stronger: Gate, weaker: Gate) -> bool:
    """Whether every candidate that passes the first gate passes the second, whatever the champion's value is.

    Never wrong about True. False may only mean that it cannot be told from the two sentences.
    """
    if (stronger.kind, stronger.key) != (weaker.kind, weaker.key):
        return False
    if isinstance(stronger.required, str):
        if stronger.comparator == "=" and not isinstance(weaker.required, ChampionMargin):
            return _check(weaker, _holding(weaker, stronger.required), None).passed
        return stronger == weaker
    if isinstance(weaker.required, str):
        return False
    try:
        least, most = _distance(stronger.required, weaker.required)
    except _Undecidable:
        return False
    return _covers(stronger.comparator, weaker.comparator, least, most)


def _check(gate: Gate, candidate: Evidence, champion: Evidence | None) -> GateResult:
    values: Mapping[str, float | str] = getattr(candidate, gate.kind)
    if gate.key not in values:
        noun = gate.kind.removesuffix("s")
        reason = f"the candidate has no {noun} '{gate.key}'. {suggestion(gate.key, values)}"
        return GateResult(gate.text, False, None, _required(gate, None), reason)
    value = values[gate.key]
    measured = value if isinstance(value, str) else number_text(value)
    threshold: Fraction | str | None = None
    try:
        found = value if isinstance(gate.required, str) else _exact(value, f"the candidate's {gate.key}")
        if isinstance(gate.required, ChampionMargin) and champion is None:
            return GateResult(gate.text, True, measured, None, "no champion yet")
        threshold = _threshold(gate, champion)
    except _Undecidable as why:
        return GateResult(gate.text, False, measured, _required(gate, threshold), str(why))
    passed = _TESTS[gate.comparator](found, threshold)
    required = _required(gate, threshold)
    reason = "" if passed else f"measured {_shown(measured, gate)}, required {required}"
    return GateResult(gate.text, passed, measured, required, reason)


def _threshold(gate: Gate, champion: Evidence | None) -> Fraction | str:
    """What the candidate's value is compared with.

    Raises: _Undecidable: the champion lacks the metric or has no finite value of it.
    """
    required = gate.required
    if isinstance(required, str):
        return required
    if not isinstance(required, ChampionMargin):
        return _exact(required, "the threshold")
    if champion is None or gate.key not in champion.metrics:
        raise _Undecidable(f"the champion has no metric '{gate.key}' to compare with")
    base = _exact(champion.metrics[gate.key], f"the champion's {gate.key}")
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
    """Comparator and threshold as text; a champion's threshold only when it was computed."""
    if isinstance(gate.required, ChampionMargin):
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
    return f"'{text}'" if isinstance(gate.required, str) else text


def _holding(gate: Gate, text: str) -> Evidence:
    """Evidence with that text as the param or tag of the gate."""
    return Evidence(params={gate.key: text}, tags={gate.key: text})


def _distance(
    first: float | ChampionMargin, second: float | ChampionMargin
) -> tuple[float | Fraction, float | Fraction]:
    """Bounds of the first threshold minus the second over all values a champion may have.

    A margin is `flat + steep * |champion|`; the difference is linear in |champion| >= 0.
    """
    if isinstance(first, ChampionMargin) != isinstance(second, ChampionMargin):
        return -math.inf, math.inf
    flat_1, steep_1 = _parts(first)
    flat_2, steep_2 = _parts(second)
    flat, steep = flat_1 - flat_2, steep_1 - steep_2
    return (-math.inf if steep < 0 else flat), (math.inf if steep > 0 else flat)


def _parts(required: float | ChampionMargin) -> tuple[Fraction, Fraction]:
    if not isinstance(required, ChampionMargin):
        return _exact(required, "the threshold"), Fraction(0)
    amount = _exact(required.amount, "the margin")
    return (Fraction(0), amount) if required.percent else (amount, Fraction(0))


def _covers(first: Comparator, second: Comparator, least: float | Fraction, most: float | Fraction) -> bool:
    """Whether `value first T1` guarantees `value second T2` when T1 - T2 lies between `least` and `most`."""
    # Strictly beyond T1 is as good as beyond T2 when both are equal; T1 itself (in >=, <=, =) is not.
    above = least >= 0 if first == ">" or second == ">=" else least > 0
    below = most <= 0 if first == "<" or second == "<=" else most < 0
    equal = least == 0 == most
    rising, falling = first in (">", ">=", "="), first in ("<", "<=", "=")
    if second in (">", ">="):
        return rising and above
    if second in ("<", "<="):
        return falling and below
    if second == "=":
        return first == "=" and equal
    return (rising and above) or (falling and below) or (first == "!=" and equal)
