"""Runs of which the truth is known: a sweep with planted effects, training curves with planted faults, healthy runs.

Deterministic: the same seed gives the same runs. Used by planted_truth.py and by the tests of the analysis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from mcp_server.mlflow_integration.entities import MetricPoint, MetricSeries, Run

START = 1_763_000_000_000
"""UTC milliseconds at which every run begins."""
EPOCH_MS = 30_000
PLANTED_PARAMS = frozenset({"learning_rate", "optimizer", "augment"})
SEED_NOISE = 0.008


@dataclass(frozen=True)
class Training:
    """A run with its curves."""

    run: Run
    series: tuple[MetricSeries, ...]
    planted: str = ""
    """The kind of finding that must be reported; empty for a healthy run."""
    now: int = START + 10 * 86_400_000


def sweep(seed: int = 0, *, configurations: int = 60, seeds: int = 3, effect: float = 1.0) -> list[Run]:
    """A random search: three params move the accuracy, six do not; `effect=0` gives pure noise."""
    random = Random(seed)
    runs: list[Run] = []
    for number in range(configurations):
        params = _configuration(random)
        truth = 0.8 + effect * _planted_effect(params)
        for repetition in range(seeds):
            runs.append(
                Run(
                    run_id=f"{seed:04x}{number:08x}{repetition:020x}",
                    experiment_id="1",
                    run_name=f"sweep-{number}-{repetition}",
                    status="FINISHED",
                    start_time=START + len(runs) * 60_000,
                    end_time=START + len(runs) * 60_000 + 50_000,
                    metrics={"accuracy": truth + random.gauss(0, SEED_NOISE)},
                    params={**params, "seed": str(repetition), "output_dir": f"/runs/{number}-{repetition}"},
                )
            )
    return runs


def _configuration(random: Random) -> dict[str, str]:
    return {
        "learning_rate": f"{10 ** random.uniform(-4, -1):.3g}",
        "optimizer": random.choice(["adam", "sgd", "rmsprop"]),
        "augment": random.choice(["True", "False"]),
        "batch_size": random.choice(["32", "64", "128", "256"]),
        "dropout": random.choice(["0.0", "0.1", "0.3", "0.5"]),
        "weight_decay": f"{10 ** random.uniform(-6, -3):.3g}",
        "warmup_steps": str(random.randrange(0, 500)),
        "activation": random.choice(["relu", "gelu"]),
        "scheduler": random.choice(["None", "cosine", "step"]),
        "epochs": "20",
    }


def _planted_effect(params: Mapping[str, str]) -> float:
    """A learning rate that is best in the middle, an order of optimizers, a gain by augmentation."""
    rate = -0.03 * (math.log10(float(params["learning_rate"])) + 2.5) ** 2
    return (
        rate + {"adam": 0.03, "rmsprop": 0.015, "sgd": 0.0}[params["optimizer"]] + 0.03 * (params["augment"] == "True")
    )


# Training curves

Curve = Callable[[float], float]
"""Value at a part of the training, from 0 to 1."""


def decay(start: float, end: float, speed: float) -> Curve:
    return lambda part: end + (start - end) * math.exp(-speed * part)


def training(
    name: str,
    curves: Mapping[str, Curve],
    *,
    random: Random,
    epochs: int = 60,
    noise: float = 0.02,
    planted: str = "",
    every_ms: int = EPOCH_MS,
) -> Training:
    """A finished run that logged each curve once per epoch, with noise in proportion to its range."""
    series: list[MetricSeries] = []
    for key, curve in curves.items():
        values = [curve(at / max(epochs - 1, 1)) for at in range(epochs)]
        width = max(values) - min(values)
        points = [
            MetricPoint(
                at, value + random.gauss(0, noise * width), START + at * every_ms + random.randrange(every_ms // 10)
            )
            for at, value in enumerate(values)
        ]
        series.append(MetricSeries(name, key, tuple(points)))
    latest = {one.key: one.points[-1].value for one in series}
    run = Run(name, "1", name, "FINISHED", START, START + epochs * every_ms, metrics=latest)
    return Training(run, tuple(series), planted)


def with_values(training: Training, key: str, change: Callable[[int, float], float]) -> Training:
    """The run with the values of one curve changed, by place and value."""
    series = tuple(
        replace(one, points=tuple(replace(point, value=change(at, point.value)) for at, point in enumerate(one.points)))
        if one.key == key
        else one
        for one in training.series
    )
    latest = {one.key: one.points[-1].value for one in series}
    return replace(training, series=series, run=replace(training.run, metrics=latest))


def with_delay(training: Training, at: int, milliseconds: int) -> Training:
    """The run with a pause before the point at a place of every curve."""
    series = tuple(
        replace(
            one,
            points=tuple(
                replace(point, timestamp=point.timestamp + (milliseconds if place >= at else 0))
                for place, point in enumerate(one.points)
            ),
        )
        for one in training.series
    )
    return replace(training, series=series)


def faulty(seed: int = 0) -> list[Training]:
    """Twelve runs, two with each fault."""
    random = Random(seed)
    loss = {"train_loss": decay(2.3, 0.2, 5), "val_loss": decay(2.4, 0.35, 5)}
    accuracy = {"train_accuracy": decay(0.1, 0.97, 5), "val_accuracy": decay(0.1, 0.9, 5)}

    def turning(curve: Curve, at: float, rise: float) -> Curve:
        return lambda part: curve(part) + (rise * (part - at) if part > at else 0.0)

    overfit = {"loss": decay(2.3, 0.02, 5), "val_loss": turning(decay(2.4, 0.4, 8), 0.35, 0.9)}
    overfit_accuracy = {"train_acc": decay(0.2, 0.99, 4), "valid_acc": turning(decay(0.2, 0.85, 9), 0.4, -0.2)}
    stuck = {"train_loss": decay(2.3, 1.4, 40), "val_loss": decay(2.4, 1.5, 40)}
    silent = training("stall-running", loss, random=random, epochs=40, planted="stalled")
    return [
        training("overfit-loss", overfit, random=random, planted="overfit"),
        training("overfit-accuracy", overfit_accuracy, random=random, noise=0.03, planted="overfit"),
        with_values(
            training("diverged-loss", loss, random=random, planted="diverged"),
            "train_loss",
            lambda at, value: value if at < 35 else min(value * 3.0 ** (at - 34), 1e6),
        ),
        with_values(
            training("collapsed-accuracy", accuracy, random=random, planted="diverged"),
            "train_accuracy",
            lambda at, value: value if at < 40 else 0.1 + random.gauss(0, 0.01),
        ),
        with_values(
            training("spikes-loss", loss, random=random, epochs=200, planted="spiky"),
            "train_loss",
            lambda at, value: value + (3.0 if at in (60, 110, 111, 160) else 0.0),
        ),
        with_values(
            training("spikes-accuracy", accuracy, random=random, epochs=100, planted="spiky"),
            "val_accuracy",
            lambda at, value: value - (0.5 if at in (30, 55, 80) else 0.0),
        ),
        with_values(
            training("nan-since", loss, random=random, planted="NaN"),
            "train_loss",
            lambda at, value: value if at < 25 else math.nan,
        ),
        with_values(
            training("nan-once", loss, random=random, planted="NaN"),
            "val_loss",
            lambda at, value: math.nan if at == 30 else value,
        ),
        training("plateau-early", stuck, random=random, planted="plateau"),
        training(
            "plateau-half", {"val_loss": lambda part: 2.0 - 2.4 * min(part, 0.4)}, random=random, planted="plateau"
        ),
        with_delay(training("stall-pause", loss, random=random, planted="stalled"), 30, 2 * 3_600_000),
        replace(
            silent,
            run=replace(silent.run, status="RUNNING", end_time=0),
            now=START + 40 * EPOCH_MS + 3 * 3_600_000,
        ),
    ]


def healthy(seed: int = 0, count: int = 60) -> list[Training]:
    """Runs without a fault, of seven kinds: length, speed, noise and metrics differ."""
    random = Random(seed)
    return [_HEALTHY[number % len(_HEALTHY)](f"healthy-{number}", random) for number in range(count)]


def _classifier(name: str, random: Random) -> Training:
    speed = random.uniform(3, 8)
    curves = {
        "train_loss": decay(2.3, random.uniform(0.05, 0.3), speed),
        "val_loss": decay(2.3, random.uniform(0.3, 0.5), speed),
        "train_accuracy": decay(0.1, 0.98, speed),
        "val_accuracy": decay(0.1, random.uniform(0.85, 0.95), speed),
        "lr": lambda part: 0.05 * (1 + math.cos(math.pi * part)),
        "epoch_seconds": lambda part: 30.0,
    }
    return training(name, curves, random=random, epochs=random.randrange(20, 120), noise=random.uniform(0.003, 0.02))


def _long(name: str, random: Random) -> Training:
    """Minibatch losses: many steps, skewed noise that shrinks with the loss."""
    curve = decay(8.0, 2.5, random.uniform(4, 7))
    found = training(name, {"loss": curve}, random=random, epochs=random.randrange(400, 1_000), noise=0.0, every_ms=900)
    return with_values(found, "loss", lambda at, value: value * math.exp(random.gauss(0, 0.04)))


def _short(name: str, random: Random) -> Training:
    curves = {"loss": decay(0.7, 0.3, 3), "val_loss": decay(0.7, 0.35, 3), "f1": decay(0.5, 0.9, 3)}
    return training(name, curves, random=random, epochs=random.randrange(5, 15), noise=0.01)


def _scheduled(name: str, random: Random) -> Training:
    """A learning rate that is cut twice: the loss falls in three steps."""

    def steps(part: float) -> float:
        return 2.0 * math.exp(-6 * part) + (1.0 if part < 0.4 else 0.55 if part < 0.75 else 0.35)

    curves = {"train_loss": steps, "val_loss": lambda part: steps(part) + 0.1}
    return training(name, curves, random=random, epochs=random.randrange(60, 150), noise=random.uniform(0.005, 0.02))


def _power_law(name: str, random: Random) -> Training:
    """A language model: the loss falls slowly to the end, perplexity with it."""

    def loss(part: float) -> float:
        return 2.0 + 6.0 * (1 + 60 * part) ** -0.5

    curves = {"train/loss": loss, "eval/loss": lambda part: loss(part) + 0.05, "eval/perplexity": lambda part: 0.0}
    epochs, noise = random.randrange(50, 300), random.uniform(0.002, 0.01)
    found = training(name, curves, random=random, epochs=epochs, noise=noise)
    losses = [point.value for point in found.series[1].points]
    return with_values(found, "eval/perplexity", lambda at, value: math.exp(losses[at]))


def _noisy_reward(name: str, random: Random) -> Training:
    """Reinforcement learning: an S curve under much noise, with checkpoints that pause the clock."""

    def reward(part: float) -> float:
        return 200 / (1 + math.exp(-10 * (part - 0.4)))

    found = training(name, {"episode_reward": reward}, random=random, epochs=200, noise=0.08)
    for place in range(40, 200, 40):
        found = with_delay(found, place, 400_000)
    return found


def _traded_off(name: str, random: Random) -> Training:
    """An autoencoder, or adversarial or reinforcement learning: parts of the loss rise while the whole goes well."""
    curves = {
        "loss": decay(5.0, 1.0, random.uniform(3, 6)),
        "kl_loss": decay(0.1, random.uniform(1.0, 3.0), 4),
        "d_loss/discriminator": lambda part: 0.69 + 0.1 * math.sin(20 * part),
        "generator_loss": decay(0.7, random.uniform(2, 4), 3),
        "policy_loss": lambda part: 0.02 * math.sin(30 * part) + 0.01 * part,
        "entropy": decay(2.0, 0.3, 3),
        "cyclic/loss": lambda part: 2.0 - part + 0.2 * math.sin(40 * part),
    }
    return training(name, curves, random=random, epochs=random.randrange(50, 150), noise=random.uniform(0.01, 0.05))


_HEALTHY: Sequence[Callable[[str, Random], Training]] = (
    _classifier,
    _long,
    _short,
    _scheduled,
    _power_law,
    _noisy_reward,
    _traded_off,
)
