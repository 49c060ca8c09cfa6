# %% [markdown]
# # MLflow in a notebook
# Jupyter, VS Code and `jupytext --to ipynb` read this file as a notebook, one cell for each `# %%`.

# %%
from mcp_server.mlflow_integration import get_mlflow_tracker

tracker = get_mlflow_tracker("notebook")  # The log line says which MLflow it found.

# %% A run per execution of this cell; it ends with the cell, also when the cell raises.
with tracker.start_run("first try", tags={"from": "notebook"}) as run_id:
    tracker.log_params({"learning_rate": 0.01, "batch_size": 32})
    for step in range(10):
        tracker.log_metric("loss", 1 / (step + 1), step=step)

# %% Runs as a data frame, newest first
runs = tracker.search_runs(output_format="pandas")
runs[["run_name", "status", "metrics.loss", "params.learning_rate"]]

# %% One curve
curve = [point["value"] for point in tracker.get_metric_history(run_id, "loss")]
