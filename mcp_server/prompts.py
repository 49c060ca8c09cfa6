"""Prompts: tasks that people start from a menu. Each names the tools in the order they are used."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

from mcp.server import MCPServer
from pydantic import Field

from mcp_server.tools._offered import Offered

Experiment = Annotated[str, Field(description="Experiment name or id.")]
Run = Annotated[str, Field(description="Run name or id.")]
Metric = Annotated[str, Field(description="Metric, such as val_accuracy.")]
Model = Annotated[str, Field(description="Registered model name.")]


def find_best_and_promote(
    experiment: Experiment,
    metric: Metric,
    model: Model,
    alias: Annotated[str, Field(description="Alias to move. Default: champion.")] = "champion",
) -> str:
    """Find the best run of an experiment, register its model and promote it through the gates."""
    return f"""\
Find the best model of experiment {experiment!r} by {metric!r} and promote it to {alias!r} of {model!r}.
1. rank_runs by the metric; say how the direction was chosen and which runs were set apart.
2. get_model {model!r}: which version has {alias!r} now, and with which measurements?
3. compare_runs: the best run against the run of that version.
4. If it is better, register_model from the run, then promote_model with dry_run=true and show every gate.
5. Ask me before the real promotion. Nothing is promoted when a gate fails or the difference is within the noise."""


def compare_two_runs(first: Run, second: Run) -> str:
    """Compare two runs: what was changed and what it did."""
    return f"""\
Compare run {first!r} with run {second!r}.
1. compare_runs: params that differ, metrics with deltas.
2. get_metric_history for the metrics that differ most: speed, overfitting, stability.
3. compare_artifacts: other files, requirements or configuration?
Say what was changed, what it did, and what cannot be told from two runs. Say if they used other data."""


def why_did_this_run_fail(run: Run) -> str:
    """Find out why a run failed, from its log, curves and params."""
    return f"""\
Find out why run {run!r} failed.
1. get_run: status, how long it ran, tags, params.
2. list_artifacts, then read_artifact of the log with pattern "Traceback|Error|Killed|out of memory", and with tail=50.
3. diagnose_run or get_metric_history: NaN, divergence, or an end in the middle?
4. search_runs for runs of the same experiment that finished: which params differ?
Give the cause with the line that shows it, and one change to try. Say so when the evidence is missing."""


def plan_the_next_sweep(experiment: Experiment, metric: Metric) -> str:
    """Plan the next hyperparameter sweep from what was tried."""
    return f"""\
Plan the next sweep of experiment {experiment!r} for {metric!r}.
1. summarize_experiment: what was tried, what failed.
2. analyze_params: which params matter, where is the best region, what was never tried?
3. rank_runs: the best ten; do they agree?
Propose at most 20 configurations as a table, with the reason for each range and what the sweep would settle."""


def weekly_report(experiment: Annotated[str, Field(description="Experiment name or id. Default: all.")] = "") -> str:
    """Report what happened in the last seven days."""
    place = f"experiment {experiment!r}" if experiment else "all experiments"
    return f"""\
Write a report about the last seven days of {place}.
1. search_runs with since="7d": how many runs, by status and experiment.
2. rank_runs by the main metric: is there a new best, and by how much?
3. For failed runs, read_artifact of the log with pattern "Traceback|Error": the common causes.
4. search_models: versions and promotions of the week.
One page: results, failures, decisions to take. Numbers with links."""


def audit_the_registry(model: Annotated[str, Field(description="Registered model name. Default: all.")] = "") -> str:
    """Check the model registry for versions without evidence, stale aliases and risky formats."""
    place = f"model {model!r}" if model else "every registered model"
    return f"""\
Audit {place}.
1. search_models, then get_model for each: aliases, versions, promotions.
2. For each version with an alias: does its run still exist, does it have measurements, on which dataset?
3. read_artifact models:/<name>@<alias>, path MLmodel and requirements.txt: old packages, formats that run code.
4. compare_model_versions: the version in use against the newest.
List findings by severity with the tool call that would fix each. Change nothing."""


PROMPTS = (
    find_best_and_promote,
    compare_two_runs,
    why_did_this_run_fail,
    plan_the_next_sweep,
    weekly_report,
    audit_the_registry,
)


def register_prompts(to: MCPServer[Any], offered: Offered) -> None:
    """Adds the prompts to a server; they say which tools that they name it does not offer."""
    for prompt in PROMPTS:
        name = prompt.__name__
        function = _marked(prompt, offered)
        to.prompt(name=name, title=name.replace("_", " ").capitalize(), description=function.__doc__)(function)


def _marked(prompt: Callable[..., str], offered: Offered) -> Callable[..., str]:
    @wraps(prompt)
    def text(*args: Any, **arguments: Any) -> str:
        return offered.text(prompt(*args, **arguments))

    return text
