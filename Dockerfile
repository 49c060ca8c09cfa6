# docker build -t mcp-server-mlflow .
# docker run -i --rm -e MLFLOW_TRACKING_URI=http://host.docker.internal:5000 mcp-server-mlflow
FROM python:3.12-slim

COPY pyproject.toml README.md LICENSE /src/
COPY mcp_server /src/mcp_server
RUN pip install --no-cache-dir '/src[postgres]' && rm -r /src

# A folder with an mlflow.db mounted at /data is found by itself.
RUN useradd --create-home mlflow && install --directory --owner mlflow /data
USER mlflow
WORKDIR /data

ENTRYPOINT ["mcp-server-mlflow"]
