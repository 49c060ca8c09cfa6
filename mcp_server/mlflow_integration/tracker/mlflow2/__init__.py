"""Code written for MLflow 2 on MLflow 3, in this process: what `mcp_server.mlflow_integration.compat` turns on.

`adaptations` lists them and logs each once, `flavors` changes how models are saved and loaded, `names` restores what
was renamed or removed, `stores` allows file stores, which MLflow 3 refuses. Only public names of MLflow are replaced.
"""
