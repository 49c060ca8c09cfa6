"""`import mcp_server.mlflow_integration.compat` makes code written for MLflow 2 run on MLflow 3 in this process.

Import it before anything else of MLflow. Each adaptation is logged once, when it is needed, with MLflow's
replacement; docs/compat.md lists them. Nothing imports this module automatically. For scripts that stay as they are:
`mcp-server-mlflow run train.py ...`.
"""

from mcp_server.mlflow_integration.tracker.mlflow2.adapt import adapt

adapt()
