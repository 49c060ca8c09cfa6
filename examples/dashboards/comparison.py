"""The runs of an experiment side by side, the best first: `marimo run examples/dashboards/comparison.py`."""

import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    from mcp_server.mlflow_integration import get_mlflow_tracker

    return get_mlflow_tracker, mo


@app.cell
def _(get_mlflow_tracker, mo):
    # Only experiments that exist: a tracker with another name would create one.
    names = [one.name for one in get_mlflow_tracker().client.search_experiments(order_by=["last_update_time DESC"])]
    experiment_name = mo.ui.dropdown(names, value=names[0], label="Experiment:")
    return (experiment_name,)


@app.cell
def _(experiment_name, get_mlflow_tracker):
    runs = get_mlflow_tracker(experiment_name.value).search_runs(output_format="pandas")
    return (runs,)


@app.cell
def _(mo, runs):
    found = [name.removeprefix("metrics.") for name in runs if name.startswith("metrics.")]
    metric = mo.ui.dropdown(found, value=next(iter(found), None), label="Metric:")
    lower_is_better = mo.ui.checkbox(label="Lower is better")
    return lower_is_better, metric


@app.cell
def _(experiment_name, lower_is_better, metric, mo):
    mo.hstack([experiment_name, metric, lower_is_better], justify="start")
    return


@app.cell
def _(lower_is_better, metric, mo, runs):
    mo.stop(metric.value is None, mo.md("No run of this experiment has a metric yet."))
    column = f"metrics.{metric.value}"
    params = [name for name in runs if name.startswith("params.") and runs[name].nunique(dropna=False) > 1]
    ordered = runs.sort_values(column, ascending=lower_is_better.value, ignore_index=True)
    comparison = ordered[["run_name", column, *params, "status", "run_id"]]
    best = comparison.iloc[0]
    mo.vstack([mo.md(f"**Best:** {best['run_name']} ({best[column]:.4f})"), mo.ui.table(comparison, selection=None)])
    return (best,)


if __name__ == "__main__":
    app.run()
