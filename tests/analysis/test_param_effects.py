"""Which params moved a metric: planted effects are named, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmarks.planted import PLANTED_PARAMS, sweep
from mcp_server.analysis.sweeps.forest import explain
from mcp_server.analysis.sweeps.param_effects import ParamAnalysis, analyze_params, columns_of, strongest_first
from mcp_server.analysis.sweeps.sweep import FEWEST_CONFIGURATIONS, MISSING, sweep_of
from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration.entities import Run


def analyzed(runs: list[Run], metric: str = "accuracy") -> ParamAnalysis:
    found = sweep_of(runs, metric)
    request = columns_of(found)
    # As it travels to the process that computes it.
    fitted = json.loads(json.dumps(explain(json.loads(json.dumps(request))))) if request else None
    return analyze_params(found, fitted)


def grid(values: dict[str, list[str]], metric: dict[str, float] | None = None, noise: float = 0.01) -> list[Run]:
    """60 configurations with params drawn from `values` and one more; `metric` maps `param=value` to what it adds."""
    draw = random.Random(1)
    runs: list[Run] = []
    for number in range(60):
        params = {key: draw.choice(options) for key, options in values.items()}
        params["untouched"] = f"{draw.random():.6f}"
        gain = sum((metric or {}).get(f"{key}={value}", 0.0) for key, value in params.items())
        runs.append(
            Run(
                f"{number:032x}",
                "1",
                status="FINISHED",
                params=params,
                metrics={"accuracy": 0.5 + gain + draw.gauss(0, noise)},
            )
        )
    return runs


@pytest.mark.parametrize("seed", range(3))
def test_the_planted_params_are_named_and_nothing_else(seed: int):
    found = analyzed(sweep(seed))
    assert {effect.param for effect in found.moved} == PLANTED_PARAMS
    assert PLANTED_PARAMS.isdisjoint(effect.param for effect in found.others)
    assert (found.interactions, found.inseparable) == ((), ())
    assert found.oob_r2 is not None
    assert found.verdict.startswith(f"Out-of-bag R² {found.oob_r2:.2f} over 60 configurations: accuracy moved with ")
    effects = {effect.param: effect for effect in found.moved}
    assert effects["optimizer"].best_group == "adam"
    assert effects["augment"].best_group == "True"
    assert sum(group.spread.n for group in effects["learning_rate"].groups) == 60


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_named_where_nothing_matters(seed: int):
    found = analyzed(sweep(seed, effect=0.0))
    assert found.moved == ()
    assert found.interactions == ()
    assert "no param shows an effect" in found.verdict


def test_two_strong_params_of_a_small_grid_do_not_hide_one_another():
    """12 configurations; the middle rate is the best, which no straight line shows, and the model matters as much."""
    noise = (0.001, -0.002, 0.003, 0.0, -0.001, 0.002)
    gain = {"0.1": -0.05, "0.01": 0.02, "0.001": 0.0, "a": 0.0, "b": 0.06}
    cells = [(model, lr, dropout) for model in "ab" for lr in ("0.1", "0.01", "0.001") for dropout in ("0.1", "0.3")]
    runs = [
        Run(
            f"{number:032x}",
            "1",
            status="FINISHED",
            params={"model": model, "lr": lr, "dropout": dropout},
            metrics={"accuracy": 0.8 + gain[lr] + gain[model] + noise[number % 6]},
        )
        for number, (model, lr, dropout) in enumerate(cells)
    ]
    found = analyzed(runs)
    assert {effect.param for effect in found.moved} == {"model", "lr"}
    assert {effect.param: effect.best_group for effect in found.moved} == {"model": "b", "lr": "0.01"}


def test_what_matters_is_shown_first():
    """The default axes of a chart."""
    assert set(strongest_first(sweep_of(sweep(0), "accuracy"))[:3]) == PLANTED_PARAMS


def test_many_values_are_no_advantage():
    """Six pairs of neighbours explain more than two halves do, but most of it is their number."""
    runs = finished(half="xxxxxxyyyyyy", pairs="112233445566", noise="ababababbaab")
    assert strongest_first(sweep_of(runs, "m")) == ["half", "pairs", "noise"]


def test_each_value_or_range_of_values_comes_with_its_best_run():
    """0.10 and 0.1 are one value, named as it was logged first; seven numbers or more are put into four ranges."""
    ranges = [*range(1, 9), 8, 8, ""]
    runs = finished(
        few=["0.10", "0.1", "1"] * 3 + ["1", "none"], many=list(map(str, ranges)), order=list(map(str, range(11)))
    )
    few, many, _ = analyze_params(sweep_of(runs, "m"), None).others
    shown = {group.label: (group.spread.n, group.best, int(group.best_run, 16)) for group in few.groups}
    assert shown == {"0.10": (6, 7.0, 7), "1": (4, 9.0, 9), MISSING: (1, 10.0, 10)}
    assert (list(shown), few.best_group) == (["0.10", "1", MISSING], "1")
    assert [(group.label, group.spread.n) for group in many.groups] == [
        ("1 to 2", 2),
        ("3 to 5", 3),
        ("6 to 7", 2),
        ("8", 3),
        (MISSING, 1),
    ]
    least = analyze_params(sweep_of(runs, "m", direction="min"), None).others[0]
    assert ([group.best for group in least.groups], least.best_group) == ([0.0, 2.0, 10.0], "0.10")


def test_seeds_names_and_constants_are_set_aside():
    """A path of its own in every run neither splits the configurations nor counts as a param."""
    found = sweep_of(sweep(0), "accuracy")
    assert (len(found.configurations), found.runs) == (60, 180)
    assert (found.seeds, found.identifiers, found.constants) == (("seed",), ("output_dir",), {"epochs": "20"})
    assert found.noise is not None
    assert found.noise.std == pytest.approx(0.008, rel=0.2)


def test_too_few_configurations_give_no_conclusion():
    runs = sweep(0, configurations=FEWEST_CONFIGURATIONS - 1)
    assert columns_of(sweep_of(runs, "accuracy")) is None
    found = analyzed(runs)
    assert not found.concluded
    assert found.verdict == (
        "No conclusion: 11 configurations are too few to tell an effect from chance; 12 or more are needed."
    )
    assert found.others, "what each value gave is shown all the same"
    assert analyzed(sweep(0, configurations=FEWEST_CONFIGURATIONS)).concluded


def test_an_interaction_is_told_from_two_effects():
    """Two params that matter only together: neither has an effect of its own."""
    runs = grid({"a": ["x", "y"], "b": ["x", "y"], "c": ["1", "2", "3"]})
    runs = [
        replace(run, metrics={"accuracy": run.metrics["accuracy"] + 0.1 * (run.params["a"] == run.params["b"])})
        for run in runs
    ]
    found = analyzed(runs)
    assert [one.params for one in found.interactions] == [("a", "b")]
    assert len(set(found.interactions[0].best)) == 1, "the best cell is one where both agree"
    assert found.moved == ()


def test_params_that_change_together_are_named_together():
    runs = grid({"size": ["small", "large"], "lr": ["0.1", "0.2", "0.3"]}, {"size=large": 0.1})
    runs = [
        replace(run, params={**run.params, "layers": "2" if run.params["size"] == "small" else "8"}) for run in runs
    ]
    found = analyzed(runs)
    assert [effect.name for effect in found.moved] == ["layers = size"]


def test_two_params_of_a_random_search_are_not_taken_for_one():
    """Each configuration has values of its own of both; only their order tells them apart."""
    draw = random.Random(5)
    runs = grid({"x": ["1"]})
    runs = [replace(run, params={"a": str(draw.random()), "b": str(draw.random())}) for run in runs]
    assert [factor.key for factor in sweep_of(runs, "accuracy").factors] == ["a", "b"]


def test_missing_values_numbers_and_logarithms():
    runs = grid(
        {"lr": ["0.0001", "0.001", "0.01", "0.10"], "depth": ["None", "4"], "dropout": ["0.1", "0.2"]}, {"depth=4": 0.1}
    )
    runs[0] = replace(runs[0], params={"lr": "0.1", "dropout": "0.2"})
    found = sweep_of(runs, "accuracy")
    kinds = {factor.key: factor.kind for factor in found.factors}
    assert kinds == {"depth": "category", "dropout": "number", "lr": "log", "untouched": "number"}
    assert MISSING in {value for factor in found.factors for value in factor.values}
    (depth,) = analyzed(runs).moved
    assert (depth.param, depth.best_group) == ("depth", "4")


def finished(**columns: Sequence[str]) -> list[Run]:
    """One run for each row of some params."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [Run(f"{at:032x}", "1", status="FINISHED", metrics={"m": at}, params=row) for at, row in enumerate(rows)]


def test_texts_that_name_a_run_are_no_choices():
    """Seven texts or more, nine of ten of their own, and not mostly numbers."""
    runs = finished(
        note=[f"try {at}" for at in range(20)],
        almost=[f"try {at // 2 if at < 4 else at}" for at in range(20)],
        twice=[f"try {at // 2}" for at in range(20)],
        rate=[f"0.{at + 10}" for at in range(20)],
        mixed=[f"0.{at + 10}" if at % 2 else f"x{at}" for at in range(20)],
    )
    assert sweep_of(runs, "m").identifiers == ("almost", "note")
    assert sweep_of(finished(note="abcdef"), "m").identifiers == ()


def test_a_category_with_fewer_than_three_configurations_for_each_value_is_set_aside():
    """Two values always count, and of a small sweep every value is shown."""
    runs = finished(
        rate=list(map(str, range(18))), six="aabbccddeeffaaabbb", seven="aabbccddeeffggaaab", two="x" * 17 + "y"
    )
    found = sweep_of(runs, "m")
    assert (found.sparse, [factor.key for factor in found.factors]) == (("seven",), ["rate", "six", "two"])
    assert sweep_of(runs[:11], "m").sparse == ()


def test_what_counts_as_a_number():
    """Four of five values; a few words among many numbers do no harm, a few numbers among words do not help."""
    many = [str(at) for at in range(1, 17)]
    runs = finished(
        mostly=[*many, "auto", "auto", "auto", "auto"],
        too_few=[*many[:15], "auto", "auto", "auto", "auto", "auto"],
        few_levels=["1", "2", "3", "auto"] * 5,
        wide=[str(4 ** (at * 7 % 20)) for at in range(20)],
        uniform=[str(1 + 5 * at) for at in range(20)],
        with_zero=[str((at * 3 % 20) ** 3) for at in range(20)],
    )
    found = sweep_of(runs, "m")
    kinds = {factor.key: factor.kind for factor in found.factors}
    assert kinds == {
        "mostly": "number",
        "few_levels": "category",
        "wide": "log",
        "uniform": "number",
        "with_zero": "number",
    }
    assert found.sparse == ("too_few",), "a category, of sixteen values"


def test_one_exploded_run_decides_nothing():
    """A loss of 1e30 in one configuration hides no effect and makes none."""
    runs = grid({"opt": ["adam", "sgd"], "width": ["1", "2", "4"]}, {"opt=adam": 0.1})
    runs[7] = replace(runs[7], metrics={"accuracy": -1e30})
    assert [effect.param for effect in analyzed(runs).moved] == ["opt"]


@pytest.mark.parametrize("size", [1.0, 1e-300, 1e307])
def test_what_explains_a_metric_does_not_depend_on_units(size: float):
    """Params and metrics as large or small as a float can be, and a param that was not set everywhere."""
    draw = random.Random(3)
    noise = [draw.random() for _ in range(20)]
    columns = [
        {"kind": "number", "numbers": [size * at for at in range(-9, 11)]},
        {"kind": "number", "numbers": [None if at < 5 else -at for at in range(20)]},
        {"kind": "category", "numbers": [float(at % 2) for at in range(20)]},
    ]
    found = explain({"y": [size * (at - 10 + value / 10) for at, value in enumerate(noise)], "columns": columns})
    assert found["rank_correlation"] == [1.0, -1.0, None]
    assert [one["column"] for one in found["chosen"]] == [0]
    assert found["oob_r2"] > 0.7
    assert found["importance"][0] > found["importance"][1] > found["importance"][2]


def test_the_same_runs_give_the_same_analysis_in_any_order():
    runs = sweep(0)
    expected = analyzed(runs)
    random.Random(2).shuffle(runs)
    assert analyzed(runs) == expected


def test_runs_that_cannot_count_are_counted():
    runs = sweep(0, configurations=4)
    runs[0] = replace(runs[0], status="FAILED")
    runs[1] = replace(runs[1], metrics={"accuracy": float("nan")})
    assert list(sweep_of(runs, "accuracy").left_out) == ["NaN", "failed"]
    runs[2] = replace(runs[2], status="FAILED")
    assert list(sweep_of(runs, "accuracy").left_out.items()) == [("failed", 2), ("NaN", 1)]
    with pytest.raises(InvalidInputError, match="Closest: accuracy"):
        sweep_of(runs, "acc")
    assert "No finished run" in analyzed([replace(run, status="FAILED") for run in runs]).verdict


def test_a_metric_that_never_changes_and_params_that_never_vary():
    same = [replace(run, metrics={"accuracy": 0.5}) for run in sweep(0)]
    assert analyzed(same).verdict == "No conclusion: accuracy is the same in all 60 configurations."
    alone = [
        Run(f"{n:032x}", "1", status="FINISHED", params={"lr": "1", "seed": str(n)}, metrics={"a": n})
        for n in range(20)
    ]
    assert analyzed(alone, "a").verdict == "No conclusion: no param varies over these 20 runs (ignored: seed)."
