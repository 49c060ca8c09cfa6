"""Registered models for tests, made in milliseconds: a run whose model is one MLmodel file."""

from __future__ import annotations

from typing import Any

from tests.conftest import Agent

MLMODEL = """\
flavors:
  python_function: {loader_module: none, python_version: 3.11.7}
mlflow_version: 3.17.2
signature:
  inputs: '[{"name": "age", "type": "long", "required": true}]'
  outputs: '[{"type": "double", "required": true}]'
"""


async def logged_run(agent: Agent, accuracy: float = 0.9, mlmodel: str = MLMODEL, **more: Any) -> str:
    """Id of a finished run that logged a model and its accuracy."""
    written = await agent.ask(
        "log_run",
        experiment="trained",
        params={"depth": 5},
        metrics={"accuracy": accuracy},
        artifacts={"model/MLmodel": mlmodel},
        **more,
    )
    return written["run_id"]


async def registered(agent: Agent, name: str, *accuracies: float) -> list[str]:
    """Versions of a model with these accuracies, one each; gives their numbers."""
    numbers: list[str] = []
    for accuracy in accuracies:
        made = await agent.ask("register_model", name=name, run=await logged_run(agent, accuracy))
        numbers.append(made["version"])
    return numbers
