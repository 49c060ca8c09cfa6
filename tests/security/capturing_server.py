"""A little HTTP server that keeps what it was sent, and answers like an MLflow with one of everything."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RUN_ID = "0123456789abcdef0123456789abcdef"


@dataclass
class Captured:
    """What arrived, and where a run says that its artifacts are."""

    url: str = ""
    artifacts: str = ""
    paths: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    """Values of headers by which somebody signs in."""

    def answer(self) -> dict[str, object]:
        location = self.artifacts or f"{self.url}/artifacts"
        experiment = {
            "experiment_id": "1",
            "name": "Default",
            "lifecycle_stage": "active",
            "artifact_location": location,
        }
        info = {"run_id": RUN_ID, "run_uuid": RUN_ID, "experiment_id": "1", "status": "RUNNING", "start_time": 1}
        info |= {"lifecycle_stage": "active", "artifact_uri": f"{location}/{RUN_ID}", "user_id": "", "run_name": "one"}
        run = {"info": info, "data": {}, "inputs": {}}
        return {"experiment": experiment, "experiments": [experiment], "run": run, "run_info": info, "runs": [run]}


@contextmanager
def capturing() -> Iterator[Captured]:
    captured = Captured()

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            captured.paths.append(self.path)
            names = ("authorization", "proxy-authorization", "cookie", "x-amz-security-token", "x-amz-date")
            captured.credentials += [self.headers[name] for name in names if name in self.headers]
            body = b"3.0.0" if self.path == "/version" else json.dumps(captured.answer()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = reply  # noqa: N815 - names of the standard library

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    captured.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield captured
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
