"""plot_metrics through MLflow: an image with a description, never beside structured content."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from mcp.types import ImageContent, TextContent

from mcp_server.mlflow_integration.engine import Engine
from tests.conftest import Agent, connect

Name = Callable[[str], str]


async def picture(agent: Agent, **arguments: Any) -> tuple[str, bytes]:
    """Text and PNG of an answer."""
    result = await agent.client.call_tool("plot_metrics", arguments)
    assert not result.is_error, result.content
    text, image = result.content
    assert isinstance(text, TextContent)
    assert isinstance(image, ImageContent)
    assert (image.mime_type, result.structured_content) == ("image/png", None)
    data = base64.b64decode(image.data)
    assert data.startswith(b"\x89PNG")
    return text.text, data


async def log(agent: Agent, experiment: str, count: int = 4) -> list[str]:
    written = []
    for at in range(count):
        metrics = {
            "val_loss": [[step, 1 / (step + 1 + at)] for step in range(10)],
            "accuracy": at / 10,
            "latency": 9 - at,
        }
        written.append(
            await agent.ask(
                "log_run", experiment=experiment, run_name=f"r{at}", params={"lr": 10.0**-at}, metrics=metrics
            )
        )
    return [one["run_id"] for one in written]


async def test_curves_are_drawn_with_a_description(engine: Engine, name: Name):
    async with connect(engine) as agent:
        runs = await log(agent, name("plot"))
        text, data = await picture(agent, metrics="val_loss", runs=runs)
    assert text.startswith("picture: Line chart over steps. val_loss of 4 runs: lowest at the end r3 (0.07692)")
    assert "size: 900 x " in text
    assert 5_000 < len(data) < 250_000


@pytest.mark.parametrize(
    ("kind", "metrics", "begins"),
    [
        ("bars", ["accuracy", "latency"], "Bar chart of accuracy and latency for 4 runs"),
        ("scatter", ["accuracy"], "Scatter chart of accuracy against lr for 4 runs"),
        ("parallel", ["accuracy"], "Parallel coordinates of lr and accuracy for 4 runs"),
        ("pareto", ["accuracy", "latency"], "Scatter chart of accuracy (max) and latency (min) for 4 runs"),
    ],
)
async def test_every_other_kind_is_drawn_from_an_experiment(
    mock_engine: Engine, kind: str, metrics: list[str], begins: str
):
    async with connect(mock_engine) as agent:
        await log(agent, "plot")
        text, _ = await picture(agent, metrics=metrics, kind=kind, experiments="plot")
    assert text.startswith(f"picture: {begins}")


async def test_what_cannot_be_drawn_is_a_sentence(mock_engine: Engine):
    async with connect(mock_engine) as agent:
        await log(agent, "plot")
        unknown = await agent.refusal("plot_metrics", metrics="loss", experiments="plot")
        few = await agent.refusal("plot_metrics", metrics="accuracy", kind="pareto", experiments="plot")
        param = await agent.refusal(
            "plot_metrics", metrics="accuracy", kind="scatter", params="lrr", experiments="plot"
        )
        nothing = await agent.refusal(
            "plot_metrics", metrics="accuracy", experiments="plot", filter_string="metrics.accuracy > 5"
        )
    assert "Closest: val_loss" in unknown
    assert few == "A chart of kind pareto takes exactly 2 metrics, not 1."
    assert "Closest: lr" in param
    assert "accuracy" in nothing
