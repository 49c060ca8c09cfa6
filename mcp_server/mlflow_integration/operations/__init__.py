"""What the tools ask of MLflow, over the REST interface."""
