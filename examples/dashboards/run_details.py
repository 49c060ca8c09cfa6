"""The runs of an experiment, one of them in detail: `marimo run examples/dashboards/run_details.py`."""

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
    tracker = get_mlflow_tracker(experiment_name.value)
    runs = tracker.search_runs()
    return runs, tracker


@app.cell
def _(mo, runs):
    # The label is for people, the value is the id, so no label has to be parsed.
    options = {f"{run['run_id'][:8]} {run['run_name']}": run["run_id"] for run in runs}
    selected_run = mo.ui.dropdown(options, value=next(iter(options), None), label="Run:")
    return (selected_run,)


@app.cell
def _(experiment_name, mo, selected_run):
    mo.hstack([experiment_name, selected_run], justify="start")
    return


@app.cell
def _(mo, selected_run, tracker):
    mo.stop(selected_run.value is None, mo.md("The experiment has no run yet."))
    run = tracker.get_run(selected_run.value)
    duration = f"took {run['end_time'] - run['start_time']}" if run["end_time"] else "still open"

    def listed(kind: str) -> object:
        rows = [{"name": name, "value": value} for name, value in sorted(run[kind].items())]
        return mo.ui.table(rows, selection=None) if rows else mo.md(f"No {kind}.")

    mo.vstack(
        [
            mo.md(f"**{run['run_name']}**, {run['status']}, {duration}"),
            mo.md("### Metrics"),
            listed("metrics"),
            mo.md("### Params"),
            listed("params"),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
