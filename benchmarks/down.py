"""A tracking server that is down: one that refuses connections, and one that takes them and never answers.

MLflow's own client gives up on the first after 247 s, and on the second never in practice.
"""

from __future__ import annotations

import socket
import time

from measure import Report, StdioServer, free_port, median, run

DEADLINE_SECONDS = 5
"""Of the hung server, instead of the 45 s that are the default."""
ROUNDS = 3


def refused() -> tuple[float, str]:
    with StdioServer(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}") as server:
        server.initialize()
        return answered(server, server.call("search_experiments"), time.perf_counter())


def hung() -> tuple[float, float, float, str]:
    """Seconds to a tools/list, to a second tool call, and to the end of the hung call; and the sentence."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with StdioServer(MLFLOW_TRACKING_URI=address, MLFLOW_MCP_TIMEOUT_SECONDS=str(DEADLINE_SECONDS)) as server:
            server.initialize()
            began = time.perf_counter()
            call = server.call("search_experiments")
            # Asked while the call hangs; the answers are stamped when they arrive.
            listed = server.receive(server.send("tools/list"))[0] - began
            unknown = server.receive(server.call("search_experiments", nmae="x"))[0] - began
            spent, sentence = answered(server, call, began)
            return listed, unknown, spent, sentence


def answered(server: StdioServer, number: int, began: float) -> tuple[float, str]:
    arrived, result = server.receive(number)
    if not result.get("isError"):
        raise RuntimeError("a server that is not there answered")
    return arrived - began, result["content"][0]["text"]


def main() -> None:
    report = Report(f"down: what an agent waits for when MLflow does not answer, medians of {ROUNDS}")
    refusals = [refused() for _ in range(ROUNDS)]
    hangs = [hung() for _ in range(ROUNDS)]
    report.add("refused connection: to the answer", median([r[0] for r in refusals]), "s", most=3)
    report.add(
        f"server that never answers: to the answer, deadline {DEADLINE_SECONDS} s",
        median([h[2] for h in hangs]),
        "s",
        most=DEADLINE_SECONDS + 0.5,
    )
    report.add("  tools/list meanwhile", median([h[0] for h in hangs]), "s", most=0.5)
    report.add("  another call meanwhile, tools/list included", median([h[1] for h in hangs]), "s", most=0.5)
    report.show()
    print(f"\nrefused: {refusals[0][1]}\nnever answers: {hangs[0][3]}")


if __name__ == "__main__":
    run(main)
