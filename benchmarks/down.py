"""A tracking server that is down: one that refuses connections, and one that takes a request and never answers.

The second passes every other request on to a real MLflow server, so the other call made meanwhile reaches it.

MLflow's own client gives up on the first after 247 s, and on the second never in practice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
from measure import Report, StdioServer, free_port, median, mlflow_server, run

DEADLINE_SECONDS = 5
"""Of the hung server, instead of the 45 s that are the default."""
ROUNDS = 3
JSON = {"Content-Type": "application/json"}


def refused() -> tuple[float, str]:
    with StdioServer(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}") as server:
        server.initialize()
        return answered(server, server.call("search_experiments"), time.perf_counter())


@contextmanager
def hangs_at(path: str, address: str) -> Iterator[str]:
    """Address of a proxy before an MLflow server that passes every request on, except one path: there it hangs."""
    go_on = threading.Event()

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if path in self.path:
                go_on.wait(60)
            else:
                self.reply(client.request(self.command, f"{address}{self.path}", content=body, headers=JSON))

        do_GET = do_POST  # noqa: N815 - http.server's name

        def reply(self, answer: httpx2.Response) -> None:
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged."""

    with httpx2.Client(timeout=60) as client, ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}"
        finally:
            go_on.set()
            proxy.shutdown()


def hung(address: str) -> tuple[float, float, float, str]:
    """Seconds to a tools/list, to a second call that reaches MLflow, and to the end of the hung call; the sentence."""
    with (
        hangs_at("experiments/search", address) as proxy,
        StdioServer(MLFLOW_TRACKING_URI=proxy, MLFLOW_MCP_TIMEOUT_SECONDS=str(DEADLINE_SECONDS)) as server,
    ):
        server.initialize()
        server.ask("search_models")  # So that the second call below finds an open connection, as in use.
        began = time.perf_counter()
        call = server.call("search_experiments")
        # Asked while the call hangs; the answers are stamped when they arrive.
        listed = server.receive(server.send("tools/list"))[0] - began
        arrived, models = server.receive(server.call("search_models"))
        if models.get("isError"):
            raise RuntimeError(f"the other call was not answered: {models['content'][0]['text']}")
        spent, sentence = answered(server, call, began)
        return listed, arrived - began, spent, sentence


def answered(server: StdioServer, number: int, began: float) -> tuple[float, str]:
    arrived, result = server.receive(number)
    if not result.get("isError"):
        raise RuntimeError("a server that is not there answered")
    return arrived - began, result["content"][0]["text"]


def main() -> None:
    report = Report(f"down: what an agent waits for when MLflow does not answer, medians of {ROUNDS}")
    refusals = [refused() for _ in range(ROUNDS)]
    with mlflow_server() as address:
        hangs = [hung(address) for _ in range(ROUNDS)]
    report.add("refused connection: to the answer", median([r[0] for r in refusals]), "s", most=3)
    report.add(
        f"server that never answers: to the answer, deadline {DEADLINE_SECONDS} s",
        median([h[2] for h in hangs]),
        "s",
        most=DEADLINE_SECONDS + 0.5,
    )
    report.add("  tools/list meanwhile", median([h[0] for h in hangs]), "s", most=0.5)
    report.add("  another call to MLflow meanwhile, tools/list included", median([h[1] for h in hangs]), "s", most=0.5)
    report.show()
    print(f"\nrefused: {refusals[0][1]}\nnever answers: {hangs[0][3]}")


if __name__ == "__main__":
    run(main)
