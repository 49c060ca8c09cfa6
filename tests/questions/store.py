"""A small store that questions are asked about: a sweep with seeds, a failed run, curves, children, another project."""

from __future__ import annotations

from tests.conftest import Agent

SPIKE_STEP, NAN_STEP = 6_003, 8_001


async def seed(agent: Agent) -> None:
    """Experiments churn (a sweep of 3 learning rates x 3 seeds, one failed run) and vision (curves, a parent)."""
    for at, lr in enumerate((0.1, 0.01, 0.001)):
        for seed_number in range(3):
            await agent.ask(
                "log_run",
                experiment="churn",
                run_name=f"lr{lr}-s{seed_number}",
                params={"lr": lr, "seed": seed_number, "model": "cnn" if at else "mlp", "epochs": 10},
                metrics={
                    "accuracy": 0.8 + 0.05 * at + 0.001 * seed_number,
                    "val_loss": 0.5 - 0.1 * at + 0.001 * seed_number,
                    "train_seconds": 30 + at,
                },
                tags={"team": "growth"},
                datasets=[{"name": "customers", "digest": "v1", "context": "training"}],
                start_time=1_795_000_000_000,
                end_time=1_795_000_000_000 + 60_000 * (1 + 3 * at + seed_number),
            )
    await agent.ask(
        "log_run",
        experiment="churn",
        run_name="crashed",
        params={"lr": 10},
        metrics={"accuracy": 0.2},
        tags={"error": "CUDA out of memory"},
        description="Too large a rate.",
        status="FAILED",
    )
    await agent.ask("start_run", experiment="churn", run_name="in-progress", params={"lr": 0.5})
    await agent.ask("log_run", experiment="vision", run_name="parent", params={"note": "x" * 3_000})
    await agent.ask(
        "log_run",
        experiment="vision",
        run_name="resnet",
        parent_run="parent",
        metrics={"loss": [[step, 1 / (step + 1)] for step in range(200)], "val_loss": [[0, 0.9], [100, 0.4]]},
    )
