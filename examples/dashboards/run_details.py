"""The runs of an experiment, one of them in detail: `marimo edit examples/dashboards/run_details.py`."""

import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    import pandas as pd

    from mcp_server.mlflow_integration import get_mlflow_tracker

    return get_mlflow_tracker, mo, pd


@app.cell
def _(mo):
    experiment_name = mo.ui.text(label="Experiment:", value="iris")
    experiment_name
    return (experiment_name,)


@app.cell
def _(experiment_name, get_mlflow_tracker):
    tracker = get_mlflow_tracker(experiment_name.value)
    runs = tracker.search_runs()
    return runs, tracker


@app.cell
def _(mo, runs):
    # The label is for people, the value is the id: nothing has to be read back out of a text.
    options = {f"{run['run_id'][:8]} {run['run_name']}": run["run_id"] for run in runs}
    selected_run = mo.ui.dropdown(options, value=next(iter(options), None), label="Run:")
    selected_run
    return (selected_run,)


@app.cell
def _(mo, pd, selected_run, tracker):
    mo.stop(selected_run.value is None, mo.md("The experiment has no run yet."))
    run = tracker.get_run(selected_run.value)
    duration = f"{run['end_time'] - run['start_time']}" if run["end_time"] else "it is running"
    metrics = pd.DataFrame([{"metric": name, "value": value} for name, value in run["metrics"].items()])
    mo.vstack(
        [
            mo.md(f"**{run['run_name']}**, {run['status']}, {duration}"),
            mo.ui.table(metrics, selection=None),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
