"""Short campaigns of the scripts beside this file; docs/reliability.md has the figures of the long ones."""

from __future__ import annotations

import anyio
import pytest

from tests.reliability import faults, fuzz
from tests.reliability.faulty_server import FAULTS

SEED = 20261121


@pytest.mark.parametrize("mutate", [False, True], ids=["as MLflow replies", "half of the replies changed"])
async def test_no_random_call_ends_in_anything_but_an_answer_or_a_sentence(mutate: bool):
    """Nothing inside shows, nothing is over the limit, nothing is unanswered."""
    tally = await fuzz.in_memory(400, SEED, mutate=mutate)
    print(f"seed {SEED}", *tally.lines(), sep="\n")
    assert tally.answered["answered"] > 0
    assert tally.answered["refused"] > 0
    assert tally.faults == []


async def test_random_calls_and_broken_lines_leave_the_process_answering():
    """Over stdio, where a broken line could end the reader."""
    tally = await anyio.to_thread.run_sync(fuzz.over_stdio, 150, SEED)
    print(f"seed {SEED}", *tally.lines(), sep="\n")
    assert tally.calls == 150
    assert tally.faults == []


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in faults.SLOW])
async def test_every_tool_answers_a_faulty_tracking_server_with_a_sentence(fault: str):
    """A cause and a next step, whatever the server sends. The slow faults are left to the script."""
    outcome = await faults.against(fault)
    assert outcome.requests > 0, "the server failed no request"
    assert outcome.tally.faults == []
