"""The wire: MLflow's REST interface, one typed method per endpoint, over a small asynchronous transport."""
