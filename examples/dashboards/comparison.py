"""The runs of an experiment side by side, the best first: `marimo edit examples/dashboards/comparison.py`."""

import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    from mcp_server.mlflow_integration import get_mlflow_tracker

    return get_mlflow_tracker, mo


@app.cell
def _(mo):
    experiment_name = mo.ui.text(label="Experiment:", value="iris")
    metric = mo.ui.text(label="Metric:", value="accuracy")
    mo.hstack([experiment_name, metric])
    return experiment_name, metric


@app.cell
def _(experiment_name, get_mlflow_tracker, metric):
    tracker = get_mlflow_tracker(experiment_name.value)
    runs = tracker.search_runs(order_by=[f"metrics.`{metric.value}` DESC"], output_format="pandas")
    return (runs,)


@app.cell
def _(metric, mo, runs):
    column = f"metrics.{metric.value}"
    mo.stop(column not in runs, mo.md(f"No run has the metric {metric.value}."))
    params = [name for name in runs if name.startswith("params.") and runs[name].nunique(dropna=False) > 1]
    comparison = runs[["run_id", "run_name", "status", column, *params]]
    best = comparison.iloc[0]
    mo.vstack([mo.md(f"**Best:** {best['run_name']} ({best[column]:.4f})"), mo.ui.table(comparison, selection=None)])
    return (best,)


if __name__ == "__main__":
    app.run()
