"""MLflow inside this process: databases and mock mode."""
