"""Ask a served model for predictions.

    cd examples/project
    mlflow models serve --model-uri models:/iris_classifier/1 --port 5001 --env-manager local
    python ../serving.py --port 5001

The model is one that examples/project/train.py registered.
"""

# ruff: noqa: T201 - it prints for a person

from __future__ import annotations

import argparse
import json
from urllib.request import Request, urlopen

FLOWERS = {
    "columns": ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"],
    "data": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]],
}


def predictions(address: str) -> list[int]:
    """The model's predictions for two flowers."""
    body = json.dumps({"dataframe_split": FLOWERS}).encode()
    request = Request(f"{address}/invocations", data=body, headers={"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)["predictions"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ask a served model for predictions.")
    parser.add_argument("--port", default="5001")
    print(predictions(f"http://127.0.0.1:{parser.parse_args().port}"))
