"""Curves: reading 10,000 logged steps through our tool, against MLflow's own sampled answer over the same HTTP."""

from __future__ import annotations

from measure import Report, Rest, StdioServer, interleaved, median, mlflow_server, run, seconds, size

from mcp_server.mlflow_integration.operations.metric_history import SAMPLE_POINTS

STEPS = 10_000
ROUNDS = 50


def main() -> None:
    report = Report(f"curves: get_metric_history of {STEPS:,} steps over HTTP, medians of {ROUNDS} rounds in turn")
    with mlflow_server() as address, Rest(address) as rest:
        run_id = rest.seed_curve("curves", STEPS)
        with StdioServer(MLFLOW_TRACKING_URI=address) as server:
            server.initialize()

            def tool() -> float:
                return seconds(lambda: server.ask("get_metric_history", runs=[run_id], metrics=["loss"]))

            def sampled() -> float:
                return seconds(
                    lambda: rest.get(
                        "metrics/get-history-bulk-interval",
                        run_ids=run_id,
                        metric_key="loss",
                        max_results=SAMPLE_POINTS,
                    )
                )

            def one_run() -> float:
                return seconds(lambda: rest.get("runs/get", run_id=run_id))

            def whole() -> float:
                return seconds(
                    lambda: rest.get("metrics/get-history", run_id=run_id, metric_key="loss", max_results=25_000)
                )

            interleaved(2, tool, sampled, one_run)
            ours, theirs, run_times = interleaved(ROUNDS, tool, sampled, one_run)
            everything = interleaved(3, whole)[0]
            answer = server.ask("get_metric_history", runs=[run_id], metrics=["loss"])
    report.add(
        f"through the tool, against MLflow's {SAMPLE_POINTS} sampled points",
        median(ours),
        "s",
        reference=median(theirs),
        most_ratio=1.3,
    )
    report.add(
        "  against the two requests that it makes (runs/get and the sample)",
        median(ours),
        "s",
        reference=median([a + b for a, b in zip(theirs, run_times, strict=True)]),
    )
    report.add("  against MLflow's whole history, which peers read", median(ours), "s", reference=median(everything))
    report.add("bytes of the answer", size(answer), "bytes", most=2_000)
    report.show()


if __name__ == "__main__":
    run(main)
