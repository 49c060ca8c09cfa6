"""The rules for promotions, in a file that no call can change: they hold whoever asks for one.

policies:
  - model: churn-*                # pattern of registered model names, or a list of patterns
    alias: champion               # pattern of aliases; left out: every alias
    stages: [Production]          # left out: the stages that the aliases stand for; []: none
    gates:
      - metrics.accuracy >= 0.9
      - tags.reviewed = 'yes'
    confirm: always               # a person confirms every move, whatever MLFLOW_MCP_CONFIRM is
    protected_tags: [reviewed]    # this server never writes these tags
    protected_metrics: true       # this server adds no metrics, params or files to runs that have ended
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from mcp_server.analysis.gates import Gate, parse_gates
from mcp_server.errors import InvalidInputError, SettingsError
from mcp_server.invalid_values import MISSING, UNKNOWN, InvalidValue, invalid_values
from mcp_server.mlflow_integration.entities import ALIAS_OF_STAGE
from mcp_server.mlflow_integration.operations.models.promotion_history import Pointer
from mcp_server.names import matches, same_name

_VARIABLE: Final = "MLFLOW_MCP_PROMOTION_POLICY"
_FORM: Final = "Form: policies: a list of entries with model, gates and optionally alias."


def _list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _gate(text: object) -> object:
    """The gates of one sentence. Raises: ValueError: it is not one."""
    if isinstance(text, tuple):
        return cast("tuple[Gate, ...]", text)
    try:
        return parse_gates([text]) if isinstance(text, str) else _refused(text)
    except InvalidInputError as error:
        raise ValueError(str(error)) from None


def _refused(value: object) -> object:
    raise ValueError(f"a gate is a sentence, such as metrics.accuracy >= 0.9, not {value!r}")


Patterns = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_list)]


class Rule(BaseModel):
    """One entry of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[Patterns, Field(min_length=1)]
    alias: Annotated[Patterns, Field(min_length=1)] = ("*",)
    stages: Patterns | None = None
    """None: a stage counts as the alias that takes its place, so `champion` covers the stage Production."""
    gates: tuple[Annotated[tuple[Gate, ...], BeforeValidator(_gate)], ...] = ()
    """One group for each sentence."""
    confirm: Literal["always"] | None = None
    protected_tags: Patterns = ()
    protected_metrics: bool = False

    _line: int = PrivateAttr(default=0)

    @model_validator(mode="after")
    def _says_something(self) -> Rule:
        if not (self.gates or self.confirm or self.protected_tags or self.protected_metrics):
            raise ValueError("an entry needs gates, confirm, protected_tags or protected_metrics")
        return self

    @property
    def place(self) -> str:
        """Where it is in the file, and for which models."""
        return f"line {self._line}, for {', '.join(self.model)}"

    @property
    def required(self) -> tuple[Gate, ...]:
        """Every gate."""
        return tuple(gate for sentence in self.gates for gate in sentence)

    @property
    def guards(self) -> bool:
        """Whether it restricts how an alias may move."""
        return bool(self.gates or self.confirm)

    def remember_line(self, line: int) -> None:
        """Where the entry begins in its file, from 1."""
        self._line = line

    def is_for(self, model: str) -> bool:
        return any(matches(model, pattern) for pattern in self.model)

    def covers(self, pointer: Pointer) -> bool:
        """Whether it applies to this alias or stage."""
        if self.stages is not None:
            patterns = self.stages if pointer.stage else self.alias
            return any(matches(pointer.name, pattern) for pattern in patterns)
        # A script that knows only stages takes the version of `champion` for the one in Production, and vice versa.
        names = {pointer.name, ALIAS_OF_STAGE.get(pointer.stage, pointer.name), _stage_of(pointer.alias)}
        return any(matches(name, pattern) for name in names if name for pattern in self.alias)


class PromotionPolicy(BaseModel):
    """The rules of one file; without a file there are none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policies: tuple[Rule, ...] = ()

    def gates_for(self, model: str, pointer: Pointer, asked: Sequence[Gate] = ()) -> tuple[Gate, ...]:
        """The gates of a promotion: those required for this model and alias (or stage), then those asked for."""
        required = [gate for rule in self._guards(model, pointer) for gate in rule.required]
        return tuple(dict.fromkeys([*required, *asked]))

    def needs_person(self, model: str, pointer: Pointer) -> bool:
        """Whether only a person may agree to a move, whatever the settings say."""
        if rules := self._guards(model, pointer):
            return any(rule.confirm for rule in rules)
        return bool(self._comparing(model, pointer))

    def need_unguarded(self, model: str, pointer: Pointer, doing: str) -> None:
        """Raises: InvalidInputError: a rule applies to this alias or stage; `doing` names what would get around it."""
        if rules := self._guards(model, pointer) or self._comparing(model, pointer):
            raise InvalidInputError(
                f"{doing} is refused: the promotion policy guards the {pointer} of '{model}' ({rules[0].place}). "
                "promote_model and rollback_model move it, through the gates."
            )

    def protects(self, tag: str) -> bool:
        """Whether this server never writes the tag."""
        return any(matches(tag, pattern) for rule in self.policies for pattern in rule.protected_tags)

    def copies_need_person(self, model: str) -> bool:
        """Whether only a person may approve copying a version of this model from another MLflow."""
        return any(rule.confirm for rule in self.policies if rule.is_for(model))

    def need_unprotected(self, tags: Iterable[str]) -> None:
        """Raises: InvalidInputError: one of the tags is protected, on any run or model."""
        for key in tags:
            for rule in self.policies:
                if any(matches(key, pattern) for pattern in rule.protected_tags):
                    raise InvalidInputError(
                        f"Tag '{key}' is protected by the promotion policy ({rule.place}): it is evidence for gates, "
                        "so this server does not write it. A person sets it in MLflow."
                    )

    @property
    def protects_metrics(self) -> bool:
        """Whether metrics, params and files of ended runs are evidence that this server does not change."""
        return any(rule.protected_metrics for rule in self.policies)

    def _guards(self, model: str, pointer: Pointer) -> list[Rule]:
        return [rule for rule in self.policies if rule.guards and rule.is_for(model) and rule.covers(pointer)]

    def _comparing(self, model: str, pointer: Pointer) -> list[Rule]:
        """Rules whose gates compare with this alias: whoever moves it moves their threshold."""
        return [
            rule
            for rule in self.policies
            if rule.is_for(model) and any(gate.alias and same_name(gate.alias, pointer.name) for gate in rule.required)
        ]


def _stage_of(alias: str) -> str:
    return next((stage for stage, other in ALIAS_OF_STAGE.items() if same_name(alias, other)), "")


def read_policy(path: Path | None) -> PromotionPolicy:
    """The policy of a file; without a file, one that requires nothing.

    Raises: SettingsError: the file cannot be read or is not a policy; the text gives the line.
    """
    if path is None:
        return PromotionPolicy()
    # PyYAML's nodes know their lines, which plain values do not; it ships no types for them.
    yaml: Any = import_module("yaml")
    try:
        text = path.expanduser().read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{_VARIABLE} names {path}, which cannot be read.") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{_VARIABLE} names {path}, which is not YAML{line}. {_FORM}") from None
    _need_single_fields(root, path)
    if not isinstance(content, dict) or "policies" not in content:
        raise _wrong(path, root, "there is no list 'policies'")
    try:
        policy = PromotionPolicy.model_validate(content)
    except ValidationError as error:
        problems = list(invalid_values(error))
        # A misspelt field is the reason why another one is missing.
        problem = next((one for one in problems if one.kind == UNKNOWN), problems[0])
        raise _wrong(path, _node(root, problem.place), _problem(problem)) from None
    for number, rule in enumerate(policy.policies):
        rule.remember_line(_line(_node(root, ("policies", str(number)))))
    return policy


def _problem(problem: InvalidValue) -> str:
    fields = [part for part in problem.place if not part.isdigit()]
    if problem.kind == UNKNOWN:
        known = PromotionPolicy.model_fields if len(fields) == 1 else Rule.model_fields
        return f"'{fields[-1]}' is not one of {', '.join(known)}"
    if problem.kind == MISSING:
        return f"an entry needs {fields[-1]}"
    if problem.kind in ("model_type", "model_attributes_type"):
        return "an entry is a mapping with model and gates"
    return problem.rule if len(fields) == 1 and problem.kind == "value_error" else f"{fields[-1]}: {problem.rule}"


def _need_single_fields(node: Any, path: Path) -> None:
    """YAML keeps the last of two equal fields, so that a second `gates` would remove the first."""
    if getattr(node, "id", "") == "mapping":
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                raise _wrong(path, key, f"'{key.value}' appears twice")
            seen.add(str(key.value))
            _need_single_fields(value, path)
    elif getattr(node, "id", "") == "sequence":
        for item in node.value:
            _need_single_fields(item, path)


def _node(root: Any, place: Sequence[str]) -> Any:
    """The node of the file at a place, or the closest one around it."""
    node = root
    for part in place:
        kind = getattr(node, "id", "")
        if kind == "mapping":
            found = [value for key, value in node.value if str(key.value) == part]
            node = found[0] if found else node
        elif kind == "sequence" and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
    return node


def _line(node: Any) -> int:
    return node.start_mark.line + 1 if node is not None else 0


def _wrong(path: Path, node: Any, problem: str) -> SettingsError:
    line = f", line {_line(node)}" if node is not None else ""
    return SettingsError(f"{_VARIABLE} names {path}{line}: {problem}. {_FORM}")
