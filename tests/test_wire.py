"""Lines of a host that are no message, names that do not exist, capabilities: what the protocol asks, byte by byte."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCResponse

from mcp_server import stdin_lines
from mcp_server.batches import Batches
from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.server import build_server
from mcp_server.settings import Settings
from mcp_server.stdin_lines import StdinLines, id_in, refusal_of
from tests.conftest import connect, free_port
from tests.test_stdio import hosted

DEEP = "[" * 5_000 + "]" * 5_000

REFUSED: dict[str, tuple[str, int, list[Any]]] = {
    "no JSON": ("hello", -32700, [None]),
    "half a message": ('{"jsonrpc": "2.0", "id": 7, "method": "pi', -32700, [7]),
    "half a surrogate": ('{"jsonrpc":"2.0","id":"a","method":"ping","params":{"x":"\\ud800"}}', -32700, ["a"]),
    "half a surrogate as the id": ('{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', -32700, [None]),
    "half a surrogate as the id, no method": ('{"jsonrpc":"2.0","id":"\\ud800"}', -32700, [None]),
    "half a surrogate as the id of one in a batch": (
        '[{"jsonrpc":"2.0","id":"\\udfff","method":"ping"},{"jsonrpc":"2.0","id":"b","method":"ping"}]',
        -32700,
        [None],
    ),
    "a request with an error": (
        '{"jsonrpc":"2.0","id":16,"method":"ping","error":{"code":1,"message":""}}',
        -32600,
        [16],
    ),
    "deep nesting": (f'{{"jsonrpc":"2.0","id":8,"method":"ping","params":{{"x":{DEEP}}}}}', -32700, [8]),
    "deep nesting, id last": (
        f'{{"jsonrpc":"2.0","method":"ping","params":{{"id":1,"x":{DEEP}}},"id":8}}',
        -32700,
        [8],
    ),
    "id is null": ('{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, [None]),
    "id is a fraction": ('{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, [None]),
    "id is true": ('{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, [None]),
    "id is an object": ('{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600, [None]),
    "params is a list": ('{"jsonrpc":"2.0","id":9,"method":"ping","params":[1]}', -32600, [9]),
    "method is missing": ('{"jsonrpc":"2.0","id":10}', -32600, [10]),
    "method is a number": ('{"jsonrpc":"2.0","id":11,"method":5}', -32600, [11]),
    "another version": ('{"jsonrpc":"1.0","id":12,"method":"ping"}', -32600, [12]),
    "no version": ('{"id":13,"method":"ping"}', -32600, [13]),
    "a number": ("5", -32600, [None]),
    "an id of 5,000 digits": (f'{{"jsonrpc":"2.0","id":{"9" * 5_000},"method":5}}', -32700, [None]),
    "a batch": (
        '[{"jsonrpc":"2.0","id":14,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"},'
        '{"jsonrpc":"2.0","id":"b","method":"ping"}]',
        -32600,
        [14, "b"],
    ),
    "an empty batch": ("[]", -32600, [None]),
    "a result that is no object": ('{"jsonrpc":"2.0","id":15,"result":5}', -32600, [None]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_line_that_is_no_message_is_refused_with_the_id_where_it_can_be_read(case: str):
    """JSON-RPC 2.0, section 5: an id that cannot be determined is null; never one of another request."""
    line, code, ids = REFUSED[case]
    refusal = refusal_of(line.encode())
    assert refusal is not None
    assert (refusal.code, list(refusal.ids)) == (code, ids)


@pytest.mark.parametrize(
    "line",
    [
        '{"jsonrpc":"2.0","id":1,"method":"ping"}',
        '{"jsonrpc":"2.0","id":"é","method":"ping","params":{"id":1.5}}',
        '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"id":null}}',
        '{"jsonrpc":"2.0","id":1,"result":{}}',
        ' {"jsonrpc":"2.0","id":1,"method":"x"}\r',
    ],
)
def test_a_message_passes(line: str):
    """Requests, notifications and answers."""
    assert refusal_of(line.encode()) is None


def test_an_id_inside_the_params_is_not_the_id_of_the_request():
    """An error with the id of another request would end that one."""
    assert id_in(b'{"method":"x","params":{"id":3,"a":[{"id":4}]},"id"') is None
    assert id_in(b'[{"id":3}') is None
    assert id_in(b'{"x":"\\"id\\":5","id":"real"') == "real"


def test_every_refused_line_is_answered_and_the_server_goes_on():
    """One process, all of them, a ping after each; a line on stderr for every one."""
    with hosted("--tracking-uri", f"http://127.0.0.1:{free_port()}") as host:
        host.initialize()
        for case, (line, code, ids) in REFUSED.items():
            host.write_line(line)
            answers = [host.answer() for _ in ids]
            assert [(answer["error"]["code"], answer["id"]) for answer in answers] == [(code, one) for one in ids], case
            ping = host.send("ping")
            assert host.answer()["id"] == ping
        host.write_line("")
        host.process.stdin.close()  # type: ignore[union-attr]
        errors = host.process.stderr.read()  # type: ignore[union-attr]
    assert errors.count("A message of the host was refused") == len(REFUSED)
    assert "Traceback" not in errors


def test_the_last_requests_are_answered_when_stdin_ends_after_them():
    """As with a shell's pipe, or with subprocess.run; also without a line break at the end."""
    initialize = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    requests = [("initialize", initialize), ("ping", {}), ("tools/list", {}), ("tools/call", {"name": "no_such"})]
    sent = [{"jsonrpc": "2.0", "id": i, "method": method, "params": p} for i, (method, p) in enumerate(requests)]
    with hosted("--tracking-uri", f"http://127.0.0.1:{free_port()}") as host:
        answers, errors = host.process.communicate("\n".join(map(json.dumps, sent)))
    assert sorted(json.loads(line)["id"] for line in answers.splitlines()) == [0, 1, 2, 3]
    assert errors == ""


async def test_a_line_that_is_too_long_is_skipped_without_being_kept(monkeypatch: pytest.MonkeyPatch):
    """Of a line without end only the start is read for its id; the next line is served."""
    monkeypatch.setattr(stdin_lines, "LAST_ANSWERS_SECONDS", 0)  # Nothing answers here.
    reading, writing = os.pipe()
    lines = StdinLines(reading, limit=100_000)
    sent: list[Any] = []

    class Replies:
        async def send(self, message: Any) -> None:
            sent.append(message.message)

    lines.replies, lines.batches = Replies(), Batches(Replies())

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(b'{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"x":"')
            for _ in range(300):
                pipe.write(b"y" * 100_000)
            pipe.write(b'"}}\n{"jsonrpc":"2.0","id":6,"method":"ping"}')

    writer = threading.Thread(target=write)
    writer.start()
    with anyio.fail_after(60):
        passed = [line async for line in lines]
    writer.join()
    os.close(reading)
    assert [json.loads(line)["id"] for line in passed] == [6]
    assert [(reply.id, reply.error.code) for reply in sent] == [(5, -32600)]
    assert "100,000 bytes" in sent[0].error.message


def test_a_byte_order_mark_and_nulls_of_a_client_library_are_no_part_of_a_request():
    """.NET begins a stream with the mark; libraries without optional fields send null for them, PHP lists for empty
    objects."""
    empty = {"roots": None, "sampling": [], "elicitation": None, "experimental": {"x": []}}
    client = {"name": "test", "version": "1", "title": None}
    params = {"protocolVersion": "2025-11-25", "capabilities": empty, "clientInfo": client, "_meta": []}
    with hosted("--mock-mode") as host:
        host.write_line("\ufeff" + json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}))
        assert host.answer()["result"]["protocolVersion"] == "2025-11-25"
        host.send("tools/list", cursor=None, _meta={"progressToken": None})
        assert host.answer()["result"]["tools"]
        host.send("prompts/get", name="compare_experiment_runs", arguments={"no": None}, _meta={"progressToken": None})
        assert "Unknown prompt" in host.answer()["error"]["message"]


ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}

MISFORMED: list[tuple[str, dict[str, Any], str]] = [
    ("tools/call", {}, "params.name is missing"),
    ("tools/call", {"name": 5}, "params.name is 5: expected text"),
    ("tools/call", {"name": "get_run", "arguments": [1]}, "params.arguments is [1]: expected a JSON object"),
    ("tools/call", {"name": "get_run", "arguments": "run"}, "params.arguments is run: expected a JSON object"),
    ("prompts/get", {"name": "x", "_meta": {"progressToken": 1.5}}, "params._meta.progressToken is 1.5"),
    ("completion/complete", {"ref": {"type": "ref/tool"}, "argument": {"name": "a", "value": ""}}, "params.ref."),
    ("tools/list", {"cursor": "made-up"}, "params.cursor is 'made-up'"),
    ("resources/list", {"cursor": 5}, "params.cursor is '5'"),
    ("resources/read", {}, "params.uri is missing"),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "x"}}, "params.argument is missing"),
    (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "nothing"}, "argument": {"name": "run", "value": ""}},
        "Unknown prompt 'nothing'",
    ),
    (
        "completion/complete",
        {"ref": {"type": "ref/resource", "uri": "mlflow://run/{run_id}"}, "argument": {"name": "run_id", "value": ""}},
        "Closest: mlflow://runs/{run_id}",
    ),
]


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-11-25", "2026-07-28"])
def test_params_are_read_as_they_are_meant_or_refused_in_a_sentence_that_names_the_field(revision: str):
    """-32602 alone tells the author of a client nothing.

    Model providers give arguments as text, and PHP has one type for an empty list and an empty object. A cursor that
    was never given out, and completions of a prompt that does not exist, are refused as the specification asks.
    """
    envelope = {"_meta": ENVELOPE} if revision == "2026-07-28" else {}
    with hosted("--tracking-uri", f"http://127.0.0.1:{free_port()}") as host:
        if not envelope:
            host.initialize(revision)
        for arguments in ('{"max_results": 0, "experiments": null}', {"max_results": 0, "experiments": None}):
            host.send("tools/call", name="search_runs", arguments=arguments, **envelope)
            assert "'max_results' is 0" in host.answer()["result"]["content"][0]["text"]
        for arguments in (None, {}, [], "", "{}"):
            host.send("tools/call", name="get_run", arguments=arguments, **envelope)
            assert "'run' is missing" in host.answer()["result"]["content"][0]["text"]
        for method, params, named in MISFORMED:
            host.send(method, **{**params, "_meta": {**ENVELOPE, **params.get("_meta", {})}} if envelope else params)
            error = host.answer()["error"]
            assert (error["code"], named in error["message"]) == (-32602, True), error


def test_a_batch_of_2025_03_26_is_answered_on_one_line():
    """That revision says that receivers take batches; what is no message in one is refused there."""
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
        {"jsonrpc": "2.0", "id": "two", "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 3, "method": "no/such/method"},
        {"jsonrpc": "2.0", "id": 4, "params": {}},
        {"jsonrpc": "2.0", "id": 5, "method": "initialize", "params": {}},
        5,
        [{"jsonrpc": "2.0", "id": 6, "method": "ping"}],
    ]
    with hosted("--mock-mode") as host:
        host.initialize("2025-03-26")
        host.write_line(json.dumps(batch))
        answers = host.answer()
        host.write_line(json.dumps([{"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}]))
        host.write_line("[]")
        empty = host.answer()
        host.send("ping")
        assert host.answer()["result"] == {}
    assert isinstance(answers, list)
    seen = {answer["id"]: answer.get("error", {}).get("code", "result") for answer in answers if answer["id"]}
    assert seen == {1: "result", "two": "result", 3: -32601, 4: -32600, 5: -32600, 6: -32600}
    assert [answer["error"]["code"] for answer in answers if answer["id"] is None] == [-32600]
    assert len(answers) == 7
    assert (empty["id"], empty["error"]["code"]) == (None, -32600)


def test_a_batch_of_another_revision_is_refused_for_each_of_its_requests():
    """2025-06-18 took batches out of the protocol."""
    with hosted("--mock-mode") as host:
        host.initialize("2025-11-25")
        host.write_line(json.dumps([{"jsonrpc": "2.0", "id": id, "method": "ping"} for id in (8, 9)]))
        refusals = [host.answer(), host.answer()]
    assert [(refusal["id"], refusal["error"]["code"]) for refusal in refusals] == [(8, -32600), (9, -32600)]
    assert "only revision 2025-03-26 has batches" in refusals[0]["error"]["message"]


async def test_a_batch_waits_for_no_request_that_is_cancelled_or_answered_before():
    """The server never answers a request that was cancelled, and an id stands for one request at a time."""
    sent: list[Any] = []

    class Sending:
        async def send(self, item: SessionMessage) -> None:
            sent.append(json.loads(item.message.model_dump_json(exclude_unset=True)))

    def result(identifier: int) -> SessionMessage:
        return SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=identifier, result={}))

    batches = Batches(Sending())  # type: ignore[arg-type]
    pings = [{"jsonrpc": "2.0", "id": identifier, "method": "ping"} for identifier in (1, 2, 2)]
    assert len(await batches.begun(pings)) == 2
    await batches.send(result(7))
    await batches.send(result(1))
    assert [message["id"] for message in sent] == [7]
    await batches.passed(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}')
    (answers,) = sent[1:]
    assert [(answer["id"], "error" in answer) for answer in answers] == [(None, True), (1, False)]
    assert await batches.begun([{"jsonrpc": "2.0", "id": 3, "method": "ping"}])
    await batches.passed(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}')
    assert len(sent) == 2


async def test_an_unknown_tool_is_a_protocol_error_with_the_closest_name(mock_engine: Engine, era: str):
    """Specification 2026-07-28, server/tools: unknown tools are protocol errors, -32602."""
    async with connect(mock_engine, era) as agent:
        with pytest.raises(MCPError) as wrong:
            await agent.client.call_tool("serch_runs", {})
        with pytest.raises(MCPError) as hostile:
            await agent.client.call_tool("x\n\u202e" + "y" * 100_000, {})
    assert wrong.value.error.code == hostile.value.error.code == -32602
    assert "Closest: search_runs" in wrong.value.error.message
    assert len(hostile.value.error.message) < 300
    assert "\n" not in hostile.value.error.message


async def test_a_tool_that_is_not_offered_says_why(mock_engine: Engine):
    """An agent that knows the tool from elsewhere learns which setting hides it."""
    async with connect(mock_engine, read_only=True, toolsets=("runs",)) as agent:
        with pytest.raises(MCPError, match="MLFLOW_MCP_READ_ONLY"):
            await agent.client.call_tool("log_run", {})
        with pytest.raises(MCPError, match="toolset registry is not offered"):
            await agent.client.call_tool("get_model", {})


async def test_unknown_prompts_and_resources_have_the_codes_of_the_revision(
    mock_engine: Engine, era: str, caplog: pytest.LogCaptureFixture
):
    """2025-11-25: -32602 and -32002; 2026-07-28: -32602 for both. No traceback."""
    async with connect(mock_engine, era) as agent:
        with pytest.raises(MCPError) as prompt:
            await agent.client.get_prompt("no_such_prompt")
        with pytest.raises(MCPError) as resource:
            await agent.client.read_resource("mlflow://nowhere/at/all")
    assert prompt.value.error.code == -32602
    assert resource.value.error.code == (-32002 if era == "legacy" else -32602)
    assert not any(record.exc_info for record in caplog.records if "in_process" not in record.name)


async def test_capabilities_name_only_what_exists(mock_engine: Engine, era: str):
    """A host shows a menu of prompts, or asks for resources, when they are advertised."""
    server = build_server(mock_engine)
    async with Client(server, mode=era) as client:
        capabilities = client.server_capabilities
        prompts, resources = await client.list_prompts(), await client.list_resources()
        templates = await client.list_resource_templates()
    assert capabilities.tools is not None
    assert (capabilities.prompts is not None) == bool(prompts.prompts)
    assert (capabilities.resources is not None) == bool(resources.resources or templates.resource_templates)


async def test_the_list_of_tools_has_a_lifetime(mock_engine: Engine):
    """Since 2026-07-28; it never changes while a server runs."""
    async with connect(mock_engine) as agent:
        listed = await agent.client.list_tools()
    assert listed.ttl_ms >= 60_000


async def test_a_lone_surrogate_in_an_answer_does_not_end_the_server(mock_engine: Engine, era: str):
    """No JSON frame can carry one; from a name of the environment, for one, it reaches the introduction."""
    half = "churn\ud800"
    engine = open_engine(Settings.load(tracking_uri="http://127.0.0.1:9", experiment_name=half))
    async with Client(build_server(engine), mode=era) as client:
        instructions = client.instructions or ""
        assert (await client.list_tools()).tools
    instructions.encode()
    assert "churn" in instructions
