"""What a chart shows, and that every kind can be drawn from whatever was logged."""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.planted import START, faulty, healthy, sweep
from mcp_server.analysis.charts.chart_axes import short
from mcp_server.analysis.charts.pictures import (
    Chart,
    bars_chart,
    curves_chart,
    labels_of,
    parallel_chart,
    pareto_chart,
    scatter_chart,
)
from mcp_server.analysis.sweeps.pareto import pareto_front
from mcp_server.drawing.charts import draw
from mcp_server.drawing.style import BYTES_LIMIT
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import MetricPoint, MetricSeries, Run


def drawn(chart: Chart) -> Image.Image:
    """The picture, after the request went through JSON as it does on the way to its process."""
    answer = draw(json.loads(json.dumps(chart.request)))
    data = base64.b64decode(answer["png"])
    assert len(data) <= BYTES_LIMIT
    image = Image.open(io.BytesIO(data))
    assert image.size == (answer["width"], answer["height"])
    assert image.width == 900, "the width of a chat"
    return image


def inked(image: Image.Image) -> int:
    """Pixels that are not white."""
    return sum(count for count, color in image.convert("L").getcolors() or [] if color < 250)


def series(key: str, values: list[float], run_id: str = "r") -> MetricSeries:
    return MetricSeries(run_id, key, tuple(MetricPoint(at, value, START + at) for at, value in enumerate(values)))


def test_curves_of_many_runs_are_told_apart_by_the_best():
    """Of many runs seven are in colour, the rest grey and counted."""
    found = [one for one in healthy(0, 300) if "val_loss" in one.run.metrics and len(one.series) > 4][:50]
    chart = curves_chart([one.run for one in found], [s for one in found for s in one.series], ["val_accuracy"])
    (panel,) = chart.request["panels"]
    assert [curve["background"] for curve in panel["curves"]].count(False) == 7
    best = max(found, key=lambda one: one.run.metrics["val_accuracy"]).run.run_name
    assert best in {curve["label"] for curve in panel["curves"] if not curve["background"]}
    assert len(found) > 20
    rest = len(found) - 7
    assert chart.hint == f"7 curves are coloured, the best by val_accuracy; the other {rest} are grey."
    assert chart.description.startswith(
        f"Line chart over steps. val_accuracy of {len(found)} runs: lowest at the end healthy-"
    )
    drawn(chart)


@pytest.mark.parametrize(
    "values",
    [
        [0.5],
        [math.nan] * 4,
        [1.0, math.nan, 2.0, math.inf],
        [1e-8, 1.0, 1e8],
        [1.7e308, -1.7e308],
        [0.0] * 3,
        [3.0] * 900,
    ],
    ids=["one point", "only NaN", "gaps", "logarithmic", "largest floats", "zeros", "flat"],
)
def test_odd_curves_are_drawn(values: list[float]):
    run = Run("r", "1", "a $x_1$ run \u4e2d\u6587", metrics={"loss": values[-1]})
    chart = curves_chart([run], [series("loss", values)], ["loss"])
    assert inked(drawn(chart)) > 1_000
    assert chart.request["panels"][0]["log"] == (values == [1e-8, 1.0, 1e8])


def test_nan_is_said_in_the_description():
    one = next(one for one in faulty(0) if one.run.run_id == "nan-since")
    assert "1 with NaN or infinite values" in curves_chart([one.run], one.series, ["train_loss"]).description


def test_bars_are_sorted_and_start_at_zero_or_are_dots():
    """0.91 and 0.93 as bars from zero would look the same."""
    close = bars_chart(sweep(0), ["accuracy"])
    values = close.request["panels"][0]["values"]
    assert values == sorted(values, reverse=True)
    assert close.request["panels"][0]["dots"]
    assert "does not begin at zero" in close.description
    assert close.hint == "150 worse runs are not shown."
    drawn(close)
    runs = [Run("a", "1", "a", metrics={"loss": 2.0}), Run("b", "1", "b", metrics={"loss": 0.5}), Run("c", "1", "c")]
    apart = bars_chart([*runs, Run("d", "1", "d", metrics={"loss": math.nan})], ["loss"])
    assert apart.request["labels"] == ["b", "a", "c", "d"]
    assert apart.request["panels"][0]["texts"] == ["0.5", "2", "no value", "NaN"]
    assert not apart.request["panels"][0]["dots"]
    drawn(apart)
    drawn(bars_chart(runs[:1], ["loss"]))


def test_a_scatter_of_numbers_of_categories_and_of_nothing():
    runs = sweep(0)
    numbers = scatter_chart(runs, "learning_rate", "accuracy")
    assert (numbers.request["x_log"], numbers.request["categories"]) == (True, [])
    drawn(numbers)
    categories = scatter_chart(runs, "optimizer", "accuracy")
    assert categories.request["categories"] == ["adam", "rmsprop", "sgd"]
    assert "Medians: adam 0." in categories.description
    drawn(categories)
    with pytest.raises(InvalidInputError, match="both the param 'x'"):
        scatter_chart(runs, "x", "accuracy")


def test_long_labels_stay_different():
    runs = [
        replace(run, params={"model": f"google/a-very-long-model-name-{at % 12}-instruct"})
        for at, run in enumerate(sweep(0))
    ]
    labels = scatter_chart(runs, "model", "accuracy").request["categories"]
    assert len(set(labels)) == 12
    assert max(map(len, labels)) <= 30
    twins = [Run("a" * 32, "1", "same"), Run("b" * 32, "1", "same"), Run("c" * 32, "1", "")]
    assert list(labels_of(twins).values()) == ["same aaaaaaaa", "same bbbbbbbb", "cccccccc"]
    assert short("a\nb\u202ec" + "d" * 50, 10) == "a bc…ddddd"


def test_the_pareto_front_is_marked():
    runs = [
        Run(f"{at}", "1", f"r{at}", "FINISHED", metrics={"accuracy": at / 10, "latency": at**2 + at % 3})
        for at in range(9)
    ]
    front = pareto_front(runs, ["accuracy", "latency"])
    points = [(run, run.metrics["accuracy"], run.metrics["latency"]) for run in runs]
    chart = pareto_chart(points, [entry.run.run_id for entry in front.front], ["accuracy", "latency"])
    assert len(chart.request["marked"]) == len(front.front)
    assert "accuracy (max) and latency (min) for 9 runs; on the Pareto front: " in chart.description
    drawn(chart)


def test_parallel_coordinates_put_the_best_run_on_top():
    chart = parallel_chart(sweep(0), ["learning_rate", "optimizer", "batch_size"], "accuracy")
    best = max(sweep(0), key=lambda run: run.metrics["accuracy"])
    assert chart.request["good"][-1] == 1.0
    assert f"Best: {best.run_name} with accuracy {best.metrics['accuracy']:.4g}" in chart.description
    assert [axis["title"] for axis in chart.request["axes"]] == ["learning_rate", "optimizer", "batch_size", "accuracy"]
    drawn(chart)
    drawn(parallel_chart(sweep(0)[:1], ["learning_rate"], "accuracy"))


def test_of_many_lines_an_even_part_is_drawn_with_the_best():
    runs = sweep(0, configurations=200)
    chart = parallel_chart(runs, ["learning_rate", "optimizer"], "accuracy")
    assert len(chart.request["lines"]) == 300
    assert chart.hint == "Shown: 300 of 600 runs, evenly by rank."
    assert f"accuracy {max(run.metrics['accuracy'] for run in runs):.4g}" in chart.description
    drawn(chart)


texts = st.one_of(st.text(max_size=60), st.floats().map(str), st.sampled_from(["None", "True", "0.1", "1e-5"]))


@settings(max_examples=6)
@given(st.lists(st.tuples(texts, st.floats(), st.text(max_size=40)), min_size=1, max_size=12))
def test_whatever_was_logged_can_be_drawn(rows: list[tuple[str, float, str]]):
    """Any text as param and name, any float as value: a picture or a sentence, never a crash."""
    runs = [
        Run(f"{at:032x}", "1", name, "FINISHED", params={"p": text}, metrics={"m": value, "n": -value})
        for at, (text, value, name) in enumerate(rows)
    ]
    curves: list[Any] = [series("m", [value], run.run_id) for run, (_, value, _) in zip(runs, rows, strict=True)]
    drawn(curves_chart(runs, curves, ["m"]))
    drawn(bars_chart(runs, ["m", "n"]))
    for make in (lambda: scatter_chart(runs, "p", "m"), lambda: parallel_chart(runs, ["p"], "m")):
        try:
            chart = make()
        except InvalidInputError:
            assert not any(abs(value) < 1e100 for _, value, _ in rows)
            continue
        drawn(chart)
