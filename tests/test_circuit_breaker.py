"""A server that is away: calls fail fast, a probe finds it again, and a slow server is never refused for good."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from mcp_server.errors import MlflowToolError, UnreachableError
from mcp_server.mlflow_integration.rest import circuit_breaker, http_transport
from mcp_server.mlflow_integration.rest.circuit_breaker import FAILURES
from mcp_server.mlflow_integration.rest.http_transport import HttpTransport
from tests.test_http_transport import OK, PATH, connected, free_port, hang, reply, serving, undisturbed  # noqa: F401


async def ask(carrier: HttpTransport) -> int:
    return (await carrier.request("GET", PATH, idempotent=False)).status


async def fail(carrier: HttpTransport, times: int) -> None:
    for _ in range(times):
        with pytest.raises(MlflowToolError):
            await ask(carrier)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe before every call."""
    monkeypatch.setattr(circuit_breaker, "PAUSE_SECONDS", 0)


async def test_one_failed_call_refuses_nothing():
    """A restart takes one call down; the next one is sent."""
    port = free_port()
    async with connected(f"http://127.0.0.1:{port}") as carrier:
        await fail(carrier, FAILURES - 1)
        async with serving(OK, port=port) as server:
            assert await ask(carrier) == 200
        assert [asked.target for asked in server.asked] == [PATH], "no probe"


async def test_a_server_that_is_back_is_found_by_the_next_call(no_pause: None):
    """One probe, then the call itself; afterwards no probes."""
    port = free_port()
    async with connected(f"http://127.0.0.1:{port}") as carrier:
        await fail(carrier, FAILURES + 2)
        async with serving(OK, port=port) as server:
            assert [await ask(carrier) for _ in range(3)] == [200] * 3
        assert [asked.target for asked in server.asked] == ["/health", PATH, PATH, PATH]


async def test_refused_calls_name_the_cause_and_were_not_sent(monkeypatch: pytest.MonkeyPatch):
    """At once: between two probes nothing is waited for."""
    monkeypatch.setattr(circuit_breaker, "PAUSE_SECONDS", 3_600)
    async with connected(f"http://127.0.0.1:{free_port()}") as carrier:
        await fail(carrier, FAILURES + 1)
        async with serving(OK, port=int(carrier.address.rpartition(":")[2])) as server:
            with pytest.raises(UnreachableError) as raised:
                await ask(carrier)
        assert server.connections == 0
    assert raised.value.carried_out is False
    assert "the connection was refused" in str(raised.value)
    assert f"{FAILURES} calls in a row got no answer, so this one was not sent." in str(raised.value)


async def test_forty_calls_at_once_share_one_probe(no_pause: None):
    """While the server is away, and when it is back."""
    port = free_port()
    async with connected(f"http://127.0.0.1:{port}") as carrier:
        await fail(carrier, FAILURES)
        async with serving(OK, port=port) as server:
            assert await asyncio.gather(*(ask(carrier) for _ in range(40))) == [200] * 40
        assert [asked.target for asked in server.asked].count("/health") == 1


async def test_a_hanging_server_is_found_by_the_calls_that_were_given_up(monkeypatch: pytest.MonkeyPatch):
    """By their own deadline, or by the cancel scope of the caller; then one call at a time is still let through."""
    monkeypatch.setattr(http_transport, "HANG_SECONDS", 0)
    monkeypatch.setattr(circuit_breaker, "PROBE_SECONDS", 0.05)
    async with serving(hang) as server, connected(server.url) as carrier:
        for _ in range(FAILURES):
            with anyio.move_on_after(0.05):
                await ask(carrier)
        outcomes: list[str] = []

        async def one() -> None:
            with anyio.move_on_after(0.5):
                try:
                    await ask(carrier)
                except UnreachableError as error:
                    assert error.carried_out is False
                    assert str(error).startswith("It did not answer within the time a call may take. 3 calls in a row")
                    outcomes.append("refused")
                    return
            outcomes.append("waited")

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(one)
    assert outcomes.count("refused") == 19 and outcomes.count("waited") == 1


async def test_while_one_call_tries_a_server_that_answers_no_probe_the_others_are_refused(
    no_pause: None, monkeypatch: pytest.MonkeyPatch
):
    """When it has been given up, the next one may try."""
    monkeypatch.setattr(http_transport, "HANG_SECONDS", 0)
    monkeypatch.setattr(circuit_breaker, "PROBE_SECONDS", 0.05)
    async with serving(hang) as server, connected(server.url) as carrier:

        async def trying(already: int) -> asyncio.Future[int]:
            call = asyncio.ensure_future(ask(carrier))
            with anyio.fail_after(30):
                while [asked.target for asked in server.asked].count(PATH) <= already:
                    await anyio.lowlevel.checkpoint()
            return call

        for already in range(FAILURES):
            (await trying(already)).cancel()
            await anyio.lowlevel.checkpoint()
        first = await trying(FAILURES)
        with anyio.fail_after(30), pytest.raises(UnreachableError):
            await ask(carrier)
        first.cancel()
        await anyio.lowlevel.checkpoint()
        (await trying(FAILURES + 1)).cancel()


async def test_a_server_too_slow_for_the_probe_is_still_used(no_pause: None, monkeypatch: pytest.MonkeyPatch):
    """Its answers take longer than a probe may: the one call that goes through finds it."""
    monkeypatch.setattr(circuit_breaker, "PROBE_SECONDS", 0.01)
    slow = asyncio.Event()

    async def answer_late(writer: asyncio.StreamWriter) -> None:
        await slow.wait()
        writer.write(OK)

    port = free_port()
    async with connected(f"http://127.0.0.1:{port}") as carrier:
        await fail(carrier, FAILURES)
        async with serving(answer_late, port=port) as server:
            call = asyncio.ensure_future(ask(carrier))
            while PATH not in [asked.target for asked in server.asked]:
                await anyio.lowlevel.checkpoint()
            slow.set()
            assert await call == 200
            assert await ask(carrier) == 200


async def test_an_answer_of_any_status_is_an_answer():
    """Errors of MLflow say nothing about the way to it."""
    async with serving(reply(500)) as server, connected(server.url) as carrier:
        for _ in range(2 * FAILURES):
            assert await ask(carrier) == 500
        assert [asked.target for asked in server.asked] == [PATH] * 2 * FAILURES


async def test_a_call_given_up_early_by_its_caller_says_nothing_about_the_server():
    """A person who cancels three searches has not found a dead server."""
    async with serving(hang) as server, connected(server.url) as carrier:
        for _ in range(2 * FAILURES):
            with anyio.move_on_after(0.01):
                await ask(carrier)
        with anyio.move_on_after(0.01):
            await ask(carrier)
        assert "/health" not in [asked.target for asked in server.asked]


async def test_a_second_call_that_reaches_mlflow_is_answered_while_one_hangs():
    """Both go to the same server over the network; the first is still hanging when the second is answered."""
    asked_twice = asyncio.Event()

    async def hang_first(writer: asyncio.StreamWriter) -> None:
        await asked_twice.wait()

    async with serving(hang_first, OK) as server, connected(server.url) as carrier:
        hanging = asyncio.ensure_future(ask(carrier))
        while not server.asked:
            await anyio.lowlevel.checkpoint()
        assert await ask(carrier) == 200
        assert not hanging.done() and len(server.asked) == 2
        hanging.cancel()


@pytest.mark.parametrize(("answered_at", "counts"), [(9.0, False), (1.0, True)])
async def test_calls_that_wait_for_each_other_are_no_sign_of_a_hanging_server(
    answered_at: float, counts: bool, monkeypatch: pytest.MonkeyPatch
):
    """Of a thousand calls at once some give up after long; that counts only when no other was answered meanwhile."""
    now = 0.0
    probes: list[float] = []
    monkeypatch.setattr(circuit_breaker.anyio, "current_time", lambda: now)

    async def probe() -> None:
        probes.append(now)

    breaker = circuit_breaker.CircuitBreaker(probe, hang_seconds=5)
    calls = [breaker.watching() for _ in range(FAILURES)]
    for call in calls:
        await call.__aenter__()
    now = answered_at
    async with breaker.watching():
        pass
    now = 10.0
    for call in calls:
        gone = asyncio.CancelledError()
        assert not await call.__aexit__(type(gone), gone, None)
    async with breaker.watching():
        assert bool(probes) == counts
