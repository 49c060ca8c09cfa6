"""Model versions copied from one MLflow to another."""
