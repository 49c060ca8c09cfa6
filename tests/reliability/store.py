"""A small store with one of everything, for campaigns that call every tool."""

from __future__ import annotations

import pytest

from mcp_server.mlflow_integration.engine import Engine
from tests.conftest import Agent, store_uri
from tests.log_model import log_models
from tests.reliability.arguments import EXPERIMENT, MODEL, RUN_NAMES


async def fill(agent: Agent, engine: Engine | None = None) -> None:
    """Runs with curves, params, tags and datasets; with an engine also a registered model of two versions."""
    for number, run_name in enumerate((*RUN_NAMES, "twin")):
        await agent.ask(
            "log_run",
            experiment=EXPERIMENT,
            run_name=run_name,
            params={"lr": 0.1 * (number + 1), "model": ("cnn", "mlp")[number % 2], "note": "x" * 300},
            metrics={
                "accuracy": 0.5 + number / 20,
                "loss": [[step, 1 / (1 + step)] for step in range(50)],
                "val_loss": [[step, "NaN" if step == 40 else 1 / (1 + step)] for step in range(50)],
            },
            tags={"team": "vision", "reviewed": "yes"},
            datasets=[{"name": "train", "context": "training"}],
            artifacts={"notes.txt": "hello\n" * 100},
        )
    await agent.ask("log_run", experiment="other", run_name="elsewhere", metrics={"accuracy": 0.1})
    if engine is None:
        return
    for accuracy in (0.8, 0.9):
        # MLflow writes the URI into the environment, where the next Settings would find it.
        with pytest.MonkeyPatch.context() as patch:
            for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
                patch.setenv(variable, "")
            run_id = log_models(store_uri(engine), accuracy, ("model",))
        await agent.ask("register_model", name=MODEL, run=run_id)
