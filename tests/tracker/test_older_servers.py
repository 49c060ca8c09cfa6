"""The Python API against a tracking server of MLflow 2: what it lacks is worked around, or named in a sentence.

The server is a real one behind a proxy that takes from it what MLflow 2 has not: `benchmarks/tracker_versions.py`
does the same with real servers of MLflow 2.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from mcp_server.errors import NotFoundError
from mcp_server.mlflow_integration import get_mlflow_tracker, registry

pytestmark = pytest.mark.parametrize("store", ["server"], indirect=True)

VERSION = "2.22.5"


@pytest.fixture
def older(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server without logged models."""

    class Older(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/version":
                return self.reply(200, "text/plain", VERSION.encode())
            if "/mlflow/logged-models" in self.path:
                return self.reply(404, "text/html", b"<!doctype html><title>404 Not Found</title>")
            kept = {"Content-Type": self.headers.get("Content-Type", "application/json")}
            request = Request(mlflow_server + self.path, body or None, kept, method=self.command)
            try:
                with urlopen(request, timeout=60) as found:
                    return self.reply(found.status, found.headers["Content-Type"], found.read())
            except HTTPError as refused:
                return self.reply(refused.code, refused.headers["Content-Type"], refused.read())

        def reply(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Older, f"do_{method}", Older.answer)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Older)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def test_models_are_kept_among_the_artifacts_of_the_run(older, iris):
    """Under the path given, slashes and all; found again by run, version, stage and alias."""
    tracker = get_mlflow_tracker("older")
    with tracker.start_run() as run_id:
        tracker.log_model(iris.model, "models/forest", registered_model_name="older-logged")

    version = tracker.register_model(f"runs:/{run_id}/models/forest", "older", tags={"team": "growth"})
    again = registry.register_model_from_run(run_id, "older", "models/forest")
    registry.transition_model_stage("older", again.version, "Production")
    tracker.client.set_registered_model_alias("older", "champion", version.version)

    assert tracker.client.get_registered_model("older-logged")
    assert (version.run_id, version.tags) == (run_id, {"team": "growth"})
    assert [str(one.version) for one in registry.list_model_versions_with_stages("older", ["Production"])] == ["2"]
    for chosen in ({"stage": "Production"}, {"alias": "champion"}, {"version": 1}):
        loaded = registry.load_model_from_registry("older", **chosen)
        assert list(loaded.predict(iris.X_test)) == list(iris.y_pred)
    assert registry.load_model_from_registry("older", flavor="native").n_estimators == 2


def test_a_model_that_is_not_there_registers_nothing(older):
    tracker = get_mlflow_tracker("older")
    with tracker.start_run() as run_id:
        pass
    with pytest.raises(NotFoundError, match="has no model 'model', so nothing was registered"):
        tracker.register_model(f"runs:/{run_id}/model", "older-nothing")
    assert not tracker.client.search_registered_models("name = 'older-nothing'")


def test_a_sentence_names_the_version_and_what_is_missing(older, caplog):
    with caplog.at_level(logging.WARNING, logger="mcp_server"):
        get_mlflow_tracker("older")
    assert f"MLflow {VERSION} answers at {older}. It has no logged models" in caplog.text
