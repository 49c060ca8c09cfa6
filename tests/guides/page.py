"""Writes docs/guides.md from the outcomes: `python -m tests.guides.page`."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Final

from mcp_server.mlflow_integration.tracker.mlflow2.adaptations import ADAPTATIONS

from . import outcomes
from .blocks import Block, blocks
from .catalogue import CATALOGUE
from .outcomes import AS_WRITTEN, NOT_HERE, ORDER, REFUSED, WITH_COMPAT, WITH_SUBSTITUTION, Outcome
from .shell_catalogue import SHELL_CATALOGUE

FILE: Final = Path(__file__).parents[2] / "docs" / "guides.md"
COMPAT_FILE: Final = FILE.with_name("compat.md")

_INTRODUCTION: Final = """\
# The guides, block by block

The five guides that this Python API was made for are in [tests/guides/texts](../tests/guides/texts). Each of their
{count} code blocks was run from its own text, and this page is generated from the results: `python -m
tests.guides.measure` and `python -m tests.guides.measure_shell` run all of them, `python -m tests.guides.page` writes
this page. A block whose text changes has no outcome until it is run again.

A Python block runs as `python block.py` in a new interpreter and an empty folder: what it is given, its text, and a
check of what it did. If it has several settings, the first is run that way, and the others in a process forked from
one that has imported MLflow. With `compat`, the import on top and `mcp-server-mlflow run block.py` both have to work,
and a block that runs as written runs with `compat` as well.

{versions}

The tests run again every block that needs only packages which install in seconds, in forked processes, and a sample of
them as scripts. A block without a language, such as a drawing of folders, has a number but no row.

{summary}

- **{as_written}**: not a character was changed.
- **{with_compat}**: plain MLflow 3 refuses it, with the error in the last column. It runs after
  `import mcp_server.mlflow_integration.compat`, or unchanged with `mcp-server-mlflow run script.py`:
  [compat.md](compat.md).
- **{with_substitution}**: a part of the text is a placeholder or cannot run here; the last column says which, for
  Python after the error of the block as written.
- **{not_here}**: needs something that the machine of this run does not have.

"Given beforehand" is what a guide assumes: data, a model, a run with the id in the text. Blocks of guides 0 and 1 ran
in mock mode, without any configuration, and against an `mlflow server` of the name and port in the guide; those of
guides 2 to 4 without configuration and against a server.

Guide 0 imports its functions from `src.models.mlflow.tracking` and `.registry`. In a project of your own these are two
files of one line each:

```python
# src/models/mlflow/tracking.py
from mcp_server.mlflow_integration.tracking import *
```

```python
# src/models/mlflow/registry.py
from mcp_server.mlflow_integration.registry import *
```
"""


def page() -> str:
    """The text of docs/guides.md."""
    kept = outcomes.kept()
    introduction = _INTRODUCTION.format(
        count=len(blocks()),
        summary=_summary(kept),
        versions=_versions(kept),
        as_written=AS_WRITTEN.capitalize(),
        with_compat="With `compat`",
        with_substitution=WITH_SUBSTITUTION.capitalize(),
        not_here=NOT_HERE.capitalize(),
    )
    parts = [introduction]
    for _, group in groupby(blocks(), key=lambda one: one.guide):
        found = list(group)
        parts += [f"\n## Guide {found[0].guide}: {found[0].title}\n"]
        parts += ["| block | heading | language | outcome | given beforehand | why, and what instead |"]
        parts += ["| --- | --- | --- | --- | --- | --- |"]
        parts += [_row(one, kept[one.name]) for one in found if one.name in kept]
    return "\n".join(parts) + "\n"


_COMPAT: Final = """\
# Code written for MLflow 2 on MLflow 3

One line at the top of a script, before anything of MLflow is imported:

```python
import mcp_server.mlflow_integration.compat
```

or no line at all, for scripts that stay as they are: `mcp-server-mlflow run train.py --epochs 3`.

In that process, and only there, MLflow 3 then accepts what MLflow 2 accepted. Each adaptation is logged once, when it
is first needed, with what to write for MLflow 3 instead. Nothing else turns this on. What MLflow 3 accepts by itself
stays as it is, and so does a serialization format that the script chose.

| code for MLflow 2 | what happens | in MLflow 3 |
| --- | --- | --- |
{rows}

Pickles run code when they are loaded: load models only from people you trust, as with MLflow 2. Processes that the
script starts are not adapted, unless they import the line themselves.
"""


def compat_page() -> str:
    """The text of docs/compat.md."""
    rows = [f"| {_escaped(one.before)} | {_escaped(one.now)} | {_escaped(one.replacement)} |" for one in ADAPTATIONS]
    return _COMPAT.format(rows="\n".join(rows))


def _versions(kept: dict[str, Outcome]) -> str:
    found = sorted({pair for one in kept.values() for pair in one.versions.items()}, key=lambda pair: pair[0].lower())
    forked = [one.name for one in blocks() if one.language == "python" and not kept[one.name].versions]
    note = f" Blocks {', '.join(forked)} were last run forked in all of their settings." if forked else ""
    return fill(f"Versions: {', '.join(' '.join(pair) for pair in found)}.{note}", 120, break_on_hyphens=False)


def _summary(kept: dict[str, Outcome]) -> str:
    lines = ["| | " + " | ".join(ORDER) + " |", "| --- |" + " ---: |" * len(ORDER)]
    for title, languages in (("Python", ("python",)), ("shell and YAML", ("bash", "yaml"))):
        names = [one.name for one in blocks() if one.language in languages and one.name in kept]
        counts = Counter(kept[name].outcome for name in names)
        lines.append(f"| {title}, {len(names)} | " + " | ".join(str(counts[outcome]) for outcome in ORDER) + " |")
    return "\n".join(lines)


def _row(one: Block, outcome: Outcome) -> str:
    cells = [one.name, one.heading, one.language, outcome.outcome, _given(one), _why(one, outcome)]
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _given(one: Block) -> str:
    if one.language == "python":
        entry = CATALOGUE[one.name]
        said = [prelude.says for prelude in entry.preludes if prelude.says]
        if entry.before_lines:
            said.append("before each line, a model of its framework")
        return "; ".join(said)
    return ", ".join(SHELL_CATALOGUE[one.name].needs)


def _why(one: Block, outcome: Outcome) -> str:
    shown = outcome.refusal and outcome.outcome in (WITH_COMPAT, WITH_SUBSTITUTION, REFUSED)
    refusal = _short(outcome.refusal) if shown else ""
    if one.language != "python":
        entry = SHELL_CATALOGUE[one.name]
        return outcome.refusal if outcome.outcome == NOT_HERE else entry.explanation
    explanation = CATALOGUE[one.name].explanation if outcome.outcome == WITH_SUBSTITUTION else ""
    if outcome.outcome == NOT_HERE:
        explanation = outcome.refusal
    return ": ".join(part for part in (refusal, explanation) if part)


def _short(text: str) -> str:
    first = text.partition(". ")[0]
    return f"`{first[:160]}`" if len(first) <= 160 else f"`{first[:157]}...`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
    COMPAT_FILE.write_text(compat_page(), encoding="utf-8")
