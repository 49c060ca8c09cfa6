"""The Python API for training scripts: synchronous, over MLflow's own client."""
