"""Writers of one idempotency key, one request at a time, in orders that a seed chooses: one run, for all of them."""

from __future__ import annotations

import random
import re

import anyio
import pytest

from mcp_server.errors import InvalidInputError
from mcp_server.mlflow_integration import tags as tag_names
from mcp_server.mlflow_integration.engine import Engine
from mcp_server.mlflow_integration.operations.writing.keyed_runs import stored_key
from tests.conftest import connect
from tests.reliability.one_key import EXPERIMENT, draft, faults, interleaved

ORDERS = 8
"""The script beside it tries thousands; the tests stay quick."""


@pytest.mark.parametrize("writers", [2, 3])
async def test_whatever_the_order_of_requests_every_writer_is_told_the_one_run(writers: int, mock_engine: Engine):
    """It is there, whole, and the only one; whichever run its writers find first."""
    await mock_engine.experiments.create(EXPERIMENT, tags={})
    with anyio.fail_after(120):
        for seed in range(ORDERS):
            key = f"key {writers} {seed}"
            assert await interleaved(mock_engine, key, writers, random.Random(seed)) == [], f"seed {seed}"


def test_a_key_that_no_filter_can_ask_for_stands_in_its_tag_as_a_digest():
    """Quotes, wildcards, line ends, half a character, more than 200 characters; any other key as it is."""
    odd = ["a'b", 'a"b', "a`b", "100%", "a\\b", "a\nb", "x" * 201, "'\ud800", ""]
    stored = [stored_key(key) for key in odd]
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in stored)
    assert len(set(stored)) == len(odd)
    assert [stored_key(key) for key in ("nightly 1", "x" * 200, "ü/µ")] == ["nightly 1", "x" * 200, "ü/µ"]


async def two_runs_of(engine: Engine, key: str) -> list[str]:
    """Ids of two unfinished runs of a key, the preferred one first, as two processes make them."""
    experiment_id = (await engine.experiments.create(EXPERIMENT, tags={})).experiment_id
    tags = {tag_names.REQUEST_KEY: key, tag_names.STATE: tag_names.WRITING}
    return [(await engine.api.create_run(experiment_id, key, start, tags)).run_id for start in (1, 2)]


@pytest.mark.parametrize("settled", [tag_names.CHOSEN, tag_names.SUPERSEDED])
async def test_what_another_process_settled_stands(settled: str, mock_engine: Engine):
    """It ended before it deleted anything; the outcome that it wrote decides, against the preference if need be."""
    preferred, other = await two_runs_of(mock_engine, "k")
    await mock_engine.api.log_param(other if settled == tag_names.CHOSEN else preferred, tag_names.SETTLED, settled)
    recorded = await mock_engine.recording.record(draft("k", points=1))
    assert recorded.run.run_id == other
    assert await faults(mock_engine, "k", [other], points=1) == []


async def test_an_outcome_never_changes_and_is_no_param_of_the_run(mock_engine: Engine):
    """MLflow itself refuses the second one; tables and comparisons show what was logged, and nobody else writes it."""
    preferred, _ = await two_runs_of(mock_engine, "k")
    recorded = await mock_engine.recording.record(draft("k", points=1))
    assert recorded.run.run_id == preferred
    with pytest.raises(InvalidInputError):
        await mock_engine.api.log_param(preferred, tag_names.SETTLED, tag_names.SUPERSEDED)
    async with connect(mock_engine) as agent:
        shown = await agent.ask("get_run", run=preferred)
        assert shown["params"] == {"lr": "0.1"}
        said = await agent.refusal("log_run", experiment="other", params={tag_names.SETTLED: "chosen"})
        assert "reserved" in said
        said = await agent.refusal("log_to_run", run=preferred, params={tag_names.SETTLED: "chosen"})
        assert "reserved" in said
