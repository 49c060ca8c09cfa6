"""Code written for MLflow 2 on MLflow 3, in this process: what `mcp_server.mlflow_integration.compat` turns on.

`adaptations` lists them and logs each once, `flavors` changes how models are saved and loaded, `names` brings back
what was renamed or removed, `stores` allows what is no longer opened. Only public names of MLflow are replaced.
"""
