"""Gates that a promotion must pass whoever asks for it, kept in a file that no call can change.

policies:
  - model: churn-*          # pattern of registered model names
    alias: champion         # pattern of aliases, or of stages; left out: every one
    gates:
      - metrics.accuracy >= 0.9
      - tags.reviewed = 'yes'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from mcp_server.analysis.gates import Gate, implies, parse_gates
from mcp_server.errors import InvalidInputError, SettingsError

_VARIABLE: Final = "MLFLOW_MCP_PROMOTION_POLICY"
_FORM: Final = "Form: policies: a list of entries with model, gates and, if wanted, alias."


@dataclass(frozen=True, slots=True)
class RequiredGate:
    gate: Gate
    model: str
    alias: str
    """Patterns, in which * stands for anything."""
    line: int
    """In the file, from 1."""


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    required: tuple[RequiredGate, ...] = ()

    def gates_for(self, model: str, seat: str, asked: Sequence[Gate]) -> tuple[Gate, ...]:
        """The gates of a promotion: those required for this model and alias (or stage), then those asked for.

        Raises: InvalidInputError: a gate asked for is weaker than a required one; the text cites its line.
        """
        required = self._rules(model, seat)
        for gate in asked:
            for rule in required:
                if implies(rule.gate, gate) and not implies(gate, rule.gate):
                    raise InvalidInputError(
                        f"The gate '{gate.text}' is weaker than the policy, which no call can lower: "
                        f"'{rule.gate.text}' (line {rule.line}, for {rule.model}). Leave it out or ask for more."
                    )
        return tuple(dict.fromkeys([*(rule.gate for rule in required), *asked]))

    def need_none(self, model: str, alias: str) -> None:
        """Raises: InvalidInputError: the policy guards this alias, so it is given only through its gates."""
        if alias and (rules := self._rules(model, alias)):
            raise InvalidInputError(
                f"The promotion policy guards the alias '{alias}' of '{model}' (line {rules[0].line}, for "
                f"{rules[0].model}); promote_model gives it, through the gates."
            )

    def _rules(self, model: str, seat: str) -> list[RequiredGate]:
        return [rule for rule in self.required if fnmatchcase(model, rule.model) and fnmatchcase(seat, rule.alias)]


def read_policy(path: Path | None) -> PromotionPolicy:
    """The policy of a file; without a file, one that requires nothing.

    Raises: SettingsError: the file cannot be read or says something that is no policy; the text gives the line.
    """
    if path is None:
        return PromotionPolicy()
    # PyYAML's nodes know their lines, which plain values do not; it ships no types for them.
    yaml: Any = import_module("yaml")
    try:
        text = path.expanduser().read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{_VARIABLE} names {path}, which cannot be read.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{_VARIABLE} names {path}, which is not YAML{line}. {_FORM}") from None
    entries: Any = _fields(root, ("policies",), path).get("policies")
    if getattr(entries, "id", "") != "sequence":
        raise _wrong(path, root, "there is no list 'policies'")
    return PromotionPolicy(tuple(gate for entry in entries.value for gate in _required(entry, path)))


def _required(entry: Any, path: Path) -> list[RequiredGate]:
    fields = _fields(entry, ("model", "alias", "gates"), path)
    model, alias, gates = fields.get("model"), fields.get("alias"), fields.get("gates")
    if model is None or getattr(gates, "id", "") != "sequence":
        raise _wrong(path, entry, "an entry has model and a list of gates")
    required: list[RequiredGate] = []
    for node in cast(Any, gates).value:
        line = node.start_mark.line + 1
        try:
            parsed = parse_gates([str(node.value)])
        except InvalidInputError as error:
            raise SettingsError(f"{_VARIABLE} names {path}; line {line} holds no gate: {error}") from None
        required += [RequiredGate(gate, str(model.value), str(alias.value) if alias else "*", line) for gate in parsed]
    return required


def _fields(node: Any, known: Sequence[str], path: Path) -> dict[str, Any]:
    """The fields of a YAML mapping. A misspelt one would leave a model unguarded, so it is an error."""
    if getattr(node, "id", "") != "mapping":
        raise _wrong(path, node, f"a mapping with {', '.join(known)} is expected")
    fields = {str(key.value): value for key, value in node.value}
    for name in fields:
        if name not in known:
            raise _wrong(path, node, f"'{name}' is none of {', '.join(known)}")
    return fields


def _wrong(path: Path, node: Any, problem: str) -> SettingsError:
    line = f", line {node.start_mark.line + 1}" if node is not None else ""
    return SettingsError(f"{_VARIABLE} names {path}{line}: {problem}. {_FORM}")
