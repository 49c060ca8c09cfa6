"""`setup_mlflow_tracking`, `get_mlflow_client`, `MLflowTracker`, `get_mlflow_tracker`: tracking for a project's code.

A project that imports them as `src.models.mlflow.tracking` keeps doing so with a file there of one line:
`from mcp_server.mlflow_integration.tracking import *`.
"""

from mcp_server.mlflow_integration.tracker.metric_buffer import MetricBuffer
from mcp_server.mlflow_integration.tracker.project import MLflowTracker, get_mlflow_client, setup_mlflow_tracking
from mcp_server.mlflow_integration.tracker.tracker import MlflowTracker, get_mlflow_tracker

__all__ = [
    "MLflowTracker",
    "MetricBuffer",
    "MlflowTracker",
    "get_mlflow_client",
    "get_mlflow_tracker",
    "setup_mlflow_tracking",
]
