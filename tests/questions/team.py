"""The store of a small team, as questions of its members need it: two days of a sweep, a night that failed, a model in
production. Times are relative to now."""

from __future__ import annotations

import time

from tests.conftest import Agent
from tests.registry_world import MLMODEL

IMAGES = "image-classification"
HOUR = 3_600_000
DAY = 24 * HOUR
_TRACEBACK = (
    "Traceback (most recent call last):\ntorch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n"
)
_ACCURACY = {"resnet18": 0.80, "resnet50": 0.86, "vit": 0.84}
_OF_LR = {0.1: -0.05, 0.01: 0.02, 0.001: 0.0}
_NOISE = (0.001, -0.002, 0.003, 0.0, -0.001, 0.002)


async def seed(agent: Agent) -> None:
    now = int(time.time() * 1_000)
    await _sweep(agent, now)
    await _troubles(agent, now)
    await _models(agent, now)


async def _sweep(agent: Agent, now: int) -> None:
    """18 configurations by three people; half of them two days ago, half today, 6 to 23 minutes long."""
    sweep = [(model, lr, dropout) for model in _ACCURACY for lr in _OF_LR for dropout in (0.1, 0.3)]
    for number, (model, lr, dropout) in enumerate(sweep, 1):
        start = now - (2 * DAY if number % 2 else 1_000 * 60) - number * 1_000
        accuracy = _ACCURACY[model] + _OF_LR[lr] + _NOISE[number % 6]
        await agent.ask(
            "log_run",
            experiment=IMAGES,
            run_name=f"{model}-lr{lr}-d{dropout}",
            params={"model": model, "lr": lr, "dropout": dropout, "batch_size": 64},
            metrics={
                "val_accuracy": [[step, accuracy * (1 - 0.6 / (step + 1))] for step in range(10)] + [[10, accuracy]],
                "val_loss": [[step, 1 / (step + 1) + 0.3 - _OF_LR[lr]] for step in range(11)],
                "epoch_seconds": 30 + number,
            },
            tags={"mlflow.user": ("alice", "bob", "carol")[number % 3], "team": "vision"},
            datasets=[{"name": "imagenet-mini", "digest": "a1b2" if number % 2 else "c3d4", "context": "training"}],
            start_time=start,
            end_time=start + (5 + number) * 60_000,
        )


async def _troubles(agent: Agent, now: int) -> None:
    """Of alice a run that failed last night and one that failed 9 days ago, of bob one that goes on."""
    start = now - 14 * HOUR
    await agent.ask(
        "log_run",
        experiment=IMAGES,
        run_name="vit-big",
        params={"model": "vit", "lr": 0.01, "dropout": 0.5, "batch_size": 512},
        metrics={"val_loss": [[0, 1.2], [1, 1.1], [2, "NaN"]]},
        tags={"mlflow.user": "alice"},
        status="FAILED",
        start_time=start,
        end_time=start + 40 * 60_000,
        artifacts={"logs/train.log": f"epoch 2\n{_TRACEBACK}"},
    )
    await agent.ask(
        "log_run",
        experiment=IMAGES,
        run_name="old-fail",
        params={"model": "vit"},
        tags={"mlflow.user": "alice"},
        status="FAILED",
        start_time=now - 9 * DAY,
        end_time=now - 9 * DAY + 1_000,
    )
    await agent.ask(
        "start_run", experiment=IMAGES, run_name="nightly", params={"model": "vit"}, tags={"mlflow.user": "bob"}
    )
    await agent.ask("log_to_run", run="nightly", metrics={"val_accuracy": 0.71}, step=4)


async def _models(agent: Agent, now: int) -> None:
    """Seven versions of fraud-clf, one a day; prod was version 4, then 6, the best."""
    for number in range(1, 8):
        start = now - (8 - number) * DAY
        auc = 0.90 + 0.01 * number if number < 7 else 0.955
        run = await agent.ask(
            "log_run",
            experiment="fraud",
            run_name=f"fraud v{number} try",
            params={"depth": 3 + number, "seed": number},
            metrics={"auc": auc, "latency_ms": 20 + number},
            artifacts={
                "model/MLmodel": MLMODEL,
                "report.json": f'{{"auc": {auc}, "threshold": 0.5}}',
                "confusion.csv": f"a,b\n1,{number}\n",
                "notes.md": f"# Notes\nTry {number}.",
            },
            tags={"mlflow.user": "dana"},
            datasets=[{"name": "transactions", "digest": f"d{number}", "context": "training"}],
            start_time=start,
            end_time=start + 20 * 60_000,
        )
        await agent.ask("register_model", name="fraud-clf", run=run["run_id"], model="model")
    for version, first in (("4", True), ("6", False)):
        await agent.ask(
            "promote_model",
            name="fraud-clf",
            version=version,
            alias="prod",
            reason=f"better auc with {version}",
            gates=["metrics.auc > 0.9"],
            allow_first=first,
        )
