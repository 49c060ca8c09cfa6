"""The store of a research group: seeds on changed data, a search with children, runs that went wrong, old and deleted
work, and a model in a stage. Times are relative to now, but for one run of October 2023."""

from __future__ import annotations

import time
from typing import Any

from tests.conftest import Agent
from tests.registry_world import MLMODEL

SCANS = "scans/segmentation"
DAY = 24 * 3_600_000
COMMITS = {"unet": "a1b2c3d4e5f60718293a4b5c6d7e8f9012345678", "deeplab": "0f9e8d7c6b5a49382716151413121110aabbccdd"}
OCTOBER_2023 = 1_697_100_000_000
_NOISE = (0.0, 0.004, -0.004)


async def seed(agent: Agent) -> None:
    now = int(time.time() * 1_000)
    await _seeds(agent, now)
    await _search(agent, now)
    await _troubles(agent, now)
    await _model(agent)
    await agent.ask("create_experiment", name="blank")
    await agent.ask("log_run", experiment="attic", run_name="first-idea", metrics={"dice": 0.4})
    await agent.ask("delete_experiment", experiment="attic")


async def _seeds(agent: Agent, now: int) -> None:
    """Two models under three seeds each; the last seed of both is of ben, on cleaned data."""
    for number, model in enumerate(("unet", "deeplab")):
        for seed_number, noise in enumerate(_NOISE):
            iou = 0.70 + 0.05 * number + noise
            await agent.ask(
                "log_run",
                experiment=SCANS,
                run_name=f"{model}-s{seed_number}",
                params={"model": model, "lr": 0.01, "seed": seed_number},
                metrics={
                    "mean IoU": [[step, iou * (1 - 0.5 ** (step + 1))] for step in range(20)] + [[20, iou]],
                    "val_loss": [[step, 1 / (step + 1)] for step in range(21)],
                },
                tags={
                    "mlflow.user": "ben" if seed_number == 2 else "ana",
                    "mlflow.source.git.commit": COMMITS[model],
                    "reviewed": "yes" if number else "no",
                },
                datasets=[{"name": "scans-clean" if seed_number == 2 else "scans", "digest": "d1"}],
                start_time=now - 5 * DAY,
                end_time=now - 5 * DAY + 60_000,
            )


async def _search(agent: Agent, now: int) -> None:
    """A parent with six children, of which the fifth is the best and the last one failed."""
    parent = await agent.ask("log_run", experiment=SCANS, run_name="search", params={"trials": 6})
    for number in range(6):
        failed = number == 5
        await agent.ask(
            "log_run",
            experiment=SCANS,
            run_name=f"trial-{number}",
            params={"lr": 0.01 * (number + 1)},
            metrics={} if failed else {"dice": 0.6 + 0.03 * number},
            status="FAILED" if failed else "FINISHED",
            tags={"mlflow.user": "cy"},
            parent_run=parent["run_id"],
            start_time=now - DAY,
            end_time=now - DAY + 60_000,
        )


async def _troubles(agent: Agent, now: int) -> None:
    async def log(name: str, **arguments: Any) -> None:
        times = {"start_time": now - 2 * DAY, "end_time": now - 2 * DAY + 60_000, **arguments}
        await agent.ask("log_run", experiment=SCANS, run_name=name, tags={"mlflow.user": "dee"}, **times)

    await log("unet-nan", metrics={"train_loss": [[0, 1.5], [1, 40.0], [2, "NaN"]]})
    for number in range(2):
        text = f"epoch 3\nTraceback (most recent call last):\nRuntimeError: out of memory at batch {number}\n"
        await log(f"crash-{number}", status="FAILED", artifacts={"logs/train.log": text})
    await log("unet-killed", status="KILLED", metrics={"train_loss": [[0, 1.5], [1, 1.2]]})
    overfit = [[step, 2.0 - 0.12 * step if step < 10 else 0.8 + 0.05 * (step - 10)] for step in range(40)]
    falling = [[step, 2.0 * 0.9**step] for step in range(40)]
    await log("unet-overfit", metrics={"val_loss": overfit, "train_loss": falling})
    await log("unet-2023", start_time=OCTOBER_2023, end_time=OCTOBER_2023 + 60_000, metrics={"dice": 0.3})
    await agent.ask("start_run", experiment=SCANS, run_name="live", tags={"mlflow.user": "dee"})
    await agent.ask("log_to_run", run="live", metrics={"train_loss": 0.9})


async def _model(agent: Agent) -> None:
    """Two versions of `segmenter`: 1 in the stage Production, 2 without."""
    for number in (1, 2):
        run = await agent.ask(
            "log_run",
            experiment="release",
            run_name=f"release {number}",
            metrics={"dice": 0.8 + 0.01 * number},
            artifacts={"model/MLmodel": MLMODEL, "tables/test.csv": "a,b\n1,2\n"},
        )
        await agent.ask("register_model", name="segmenter", run=run["run_id"], model="model")
    await agent.ask("promote_model", name="segmenter", version="1", stage="Production")
