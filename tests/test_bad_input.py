"""The sentence the agent reads for every kind of mistake and failure, kept as snapshots."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.settings import Settings
from tests.conftest import connect, free_port
from tests.snapshots import assert_matches

MISTAKES: dict[str, tuple[str, dict[str, Any]]] = {
    "unknown run": ("get_run", {"run": "0123456789abcdef0123456789abcdef"}),
    "unknown run name": ("get_run", {"run": "no such run"}),
    "empty run": ("get_run", {"run": " "}),
    "ambiguous name": ("get_run", {"run": "twin"}),
    "unknown experiment": ("search_runs", {"experiments": ["chrun"]}),
    "unknown experiment id": ("search_runs", {"experiments": [99999]}),
    "unknown metric, ranking": ("rank_runs", {"metric": "acuracy", "experiments": ["churn"]}),
    "unknown metric, curve": ("get_metric_history", {"runs": ["only"], "metrics": ["los"]}),
    "unknown metric, comparison": ("compare_runs", {"runs": ["only", "other"], "metrics": ["los"]}),
    "one run compared": ("compare_runs", {"runs": ["only"]}),
    "malformed filter": ("search_runs", {"experiments": ["churn"], "filter_string": "acc >> 0.9"}),
    "filter with or": ("search_runs", {"experiments": ["churn"], "filter_string": "metrics.a > 1 or metrics.b > 1"}),
    "size of a text param": ("search_runs", {"experiments": ["churn"], "filter_string": "params.model > 'cnn'"}),
    "number for a tag": ("search_runs", {"experiments": ["churn"], "filter_string": "tags.rank = 3"}),
    "text for a metric": ("search_runs", {"experiments": ["churn"], "filter_string": "metrics.accuracy = 'high'"}),
    "filter without entity": ("search_runs", {"experiments": ["churn"], "filter_string": "accuracy > 0.9"}),
    "malformed order": ("search_runs", {"experiments": ["churn"], "order_by": ["accuracy downwards"]}),
    "malformed since": ("search_runs", {"experiments": ["churn"], "since": "recently"}),
    "duration in words": ("search_runs", {"experiments": ["churn"], "filter_string": "duration > 'long'"}),
    "order without entity": ("search_runs", {"experiments": ["churn"], "order_by": ["accuracy DESC"]}),
    "order by a quoted name": ("search_runs", {"experiments": ["churn"], "order_by": ['metrics.`a"b` DESC']}),
    "rank by a quoted name": ("rank_runs", {"experiments": ["churn"], "metric": 'a"b'}),
    "token of another search": ("search_runs", {"experiments": ["churn"], "page_token": "p1.WyIiLDEsMSwieCIsMF0"}),
    "ranking of a resource": ("rank_runs", {"metric": "system/cpu_utilization", "experiments": ["churn"]}),
    "bad page token": ("search_runs", {"experiments": ["churn"], "page_token": "zzz"}),
    "wrong type": ("search_runs", {"max_results": "many"}),
    "too many": ("search_runs", {"max_results": 100_000}),
    "unknown argument": ("search_runs", {"filters": "metrics.accuracy > 0.9"}),
    "missing argument": ("get_run", {}),
    "metric that is text": ("log_run", {"experiment": "churn", "metrics": {"accuracy": "high"}}),
    "metric point of one": ("log_run", {"experiment": "churn", "metrics": {"loss": [[1]]}}),
    "step that is no whole number": ("log_run", {"experiment": "churn", "metrics": {"loss": [[1.5, 0.1]]}}),
    "step beyond 64 bits": ("log_run", {"experiment": "churn", "metrics": {"loss": [[2**70, 0.1]]}}),
    "key MLflow refuses": ("log_run", {"experiment": "churn", "metrics": {"loss\n": 0.1}}),
    "param MLflow would cut": ("log_run", {"experiment": "churn", "params": {"prompt": "x" * 6_001}}),
    "tag MLflow would cut": ("log_run", {"experiment": "churn", "tags": {"note": "x" * 8_001}}),
    "tag of this server": ("log_run", {"experiment": "churn", "tags": {"mcp.state": "complete"}}),
    "artifact outside the run": ("log_run", {"experiment": "churn", "artifacts": {"../../etc/cron.d/x": "text"}}),
    "file, no folder allowed": ("log_run", {"experiment": "churn", "files": ["/etc/passwd"]}),
    "param that changes": ("log_to_run", {"run": "only", "params": {"lr": 0.2}}),
    "experiment that exists": ("create_experiment", {"name": "churn"}),
    "unknown model": ("get_model", {"name": "chrun"}),
    "run without a model": ("register_model", {"name": "churn", "run": "only"}),
    "model from elsewhere": ("register_model", {"name": "churn", "model_uri": "s3://bucket/model"}),
    "reserved alias": ("promote_model", {"name": "churn", "version": 1, "alias": "latest"}),
    "malformed gate": ("promote_model", {"name": "churn", "version": 1, "gates": ["metrics.accuracy >> 0.9"]}),
}


async def test_every_mistake_is_answered_with_a_sentence_that_helps(mock_engine: Engine):
    """What was wrong, with the value; what would be right; which tool shows it."""
    sentences: list[str] = []
    async with connect(mock_engine) as agent:
        only = {
            "experiment": "churn",
            "run_name": "only",
            "params": {"lr": 0.1},
            "metrics": {"loss": 0.5, "accuracy": 0.9},
        }
        await agent.ask("log_run", **only)
        await agent.ask("log_run", experiment="churn", run_name="other", metrics={"loss": 0.6})
        for _ in range(2):
            await agent.ask("log_run", experiment="churn", run_name="twin")
        before = len((await agent.ask("search_runs", experiments=["churn"]))["rows"])
        for case, (tool, arguments) in MISTAKES.items():
            sentences.append(f"# {case}: {tool}\n{await agent.refusal(tool, **arguments)}")
        after = len((await agent.ask("search_runs", experiments=["churn"]))["rows"])
    assert before == after, "a refused call wrote something"
    text = _without_what_changes("\n\n".join(sentences))
    assert_matches("mistakes.md", text)
    assert not re.search(r"Traceback|SELECT |INSERT |pydantic|sqlalche|/tmp/", text)


async def test_a_mistake_is_answered_the_same_by_mock_mode_and_by_a_server(
    mock_engine: Engine, mlflow_server: str, name: Any
):
    """Mock mode is MLflow itself: every refusal that MLflow has a part in reads the same from a real server."""
    server = open_engine(Settings.load(tracking_uri=mlflow_server))
    churn, only = name("churn"), name("only")
    answers: list[list[str]] = []
    for engine in (mock_engine, server):
        async with connect(engine) as agent:
            await agent.ask("log_run", experiment=churn, run_name=only, params={"lr": 0.1}, metrics={"loss": 0.5})
            answers.append([])
            for tool, arguments in MISTAKES.values():
                ours = {
                    key: churn
                    if value == "churn"
                    else [churn]
                    if value == ["churn"]
                    else only
                    if value == "only"
                    else value
                    for key, value in arguments.items()
                }
                result = await agent.client.call_tool(tool, ours)
                text = _without_what_changes(result.content[0].text)
                answers[-1].append(f"{tool} {result.is_error}: {text if result.is_error else ''}")
    # Ids and the names of other tests' experiments differ between the stores; what is said does not.
    mock, real = ([re.sub(r"\d+| Closest: [^.]*\.", "", line) for line in lines] for lines in answers)
    assert mock == real


@asynccontextmanager
async def web_server(status: str, body: str, content_type: str = "text/html") -> AsyncIterator[str]:
    """Answers every request with the same page."""

    async def answer(stream: SocketStream) -> None:
        async with stream:
            try:
                while data := await stream.receive():
                    if b"\r\n\r\n" in data:
                        head = (
                            f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
                        )
                        await stream.send((head + body).encode())
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        yield f"http://127.0.0.1:{port}"
        group.cancel_scope.cancel()
    await listener.aclose()


LOGIN = "<html><body><form>Sign in</form></body></html>"
DENIED = '{"error_code": "PERMISSION_DENIED", "message": "Permission denied"}'
SQL = (
    '{"error_code": "INTERNAL_ERROR", "message": "(sqlite3.X) no [SQL: INSERT INTO runs VALUES (1)] at /home/me/x.py"}'
)


@pytest.mark.parametrize(
    ("case", "status", "body"),
    [
        ("a login page", "200 OK", LOGIN),
        ("a 404 page", "404 Not Found", LOGIN),
        ("no credentials", "401 Unauthorized", "You are not authenticated."),
        ("no permission", "403 Forbidden", "Permission denied"),
        ("no permission, as JSON", "403 Forbidden", DENIED),
        ("an empty answer", "200 OK", ""),
        ("a bad gateway", "502 Bad Gateway", LOGIN),
        ("a database error", "500 Internal Server Error", SQL),
        ("another JSON", "200 OK", "[1, 2]"),
    ],
)
async def test_what_is_no_answer_of_mlflow_is_said_in_words(case: str, status: str, body: str):
    """A wrong address, missing credentials, a broken server: the cause and what to do, nothing of the body."""
    async with web_server(status, body) as address:
        engine = open_engine(Settings.load(tracking_uri=address))
        async with connect(engine) as agent:
            sentence = await agent.refusal("search_experiments")
            info = await agent.ask("get_server_info")
    assert info["answers"] is False
    assert "<html" not in sentence
    assert_matches(f"failures/{case}.md", sentence.replace(address, "http://127.0.0.1:5000"))


async def test_a_server_that_is_down_is_said_with_its_address_and_the_cure():
    """Without the credentials that the address carried."""
    address = f"http://127.0.0.1:{free_port()}"
    secret = address.replace("//", "//ann:s3cret@")
    async with connect(open_engine(Settings.load(tracking_uri=secret))) as agent:
        sentence = await agent.refusal("search_experiments")
        info = str(await agent.ask("get_server_info"))
    assert "s3cret" not in sentence + info
    assert_matches("failures/down.md", sentence.replace(address, "http://127.0.0.1:5000"))


@pytest.mark.parametrize("uri", ["foo://bar", "not a uri", "databricks", "http://", "mlruns-old", "postgres://host/db"])
async def test_an_address_that_cannot_be_used_is_said_and_the_server_still_starts(uri: str):
    """An agent that can ask learns more than a process that died."""
    async with connect(open_engine(Settings.load(tracking_uri=uri))) as agent:
        sentence = await agent.refusal("search_experiments")
    assert_matches(f"failures/uri {re.sub(r'[^a-z]+', ' ', uri).strip()}.md", sentence)


async def test_a_call_that_takes_too_long_is_given_up_and_others_go_on():
    """A tracking server that hangs costs the deadline and nothing else."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    address = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
    engine = open_engine(Settings.load(tracking_uri=address, timeout_seconds=0.3))
    with anyio.fail_after(20):
        async with connect(engine) as agent:
            sentence = await agent.refusal("search_experiments")
            assert (await agent.client.list_tools()).tools
    await listener.aclose()
    assert_matches("failures/hangs.md", sentence)


RESOLVES_FIRST: dict[str, dict[str, Any]] = {
    "delete_experiment": {"experiment": "churn"},
    "delete_runs": {"runs": ["only"]},
    "delete_model": {"name": "churn"},
    "promote_model": {"name": "churn", "version": 1},
    "rollback_model": {"name": "churn"},
}


@pytest.mark.parametrize("tool", RESOLVES_FIRST)
async def test_the_deadline_counts_what_is_read_before_the_question(tool: str):
    """What a deletion or promotion is about is read before anybody is asked, on the same clock."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    address = f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
    engine = open_engine(Settings.load(tracking_uri=address, timeout_seconds=0.3))
    with anyio.fail_after(20):
        async with connect(engine) as agent:
            sentence = await agent.refusal(tool, **RESOLVES_FIRST[tool])
    await listener.aclose()
    assert sentence.startswith(f"{tool} took longer than 0.3 s and was cancelled (MLFLOW_MCP_TIMEOUT_SECONDS).")


def _without_what_changes(text: str) -> str:
    text = re.sub(r"\b[0-9a-f]{32}\b", "<run_id>", text)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "<time>", text)
