"""Every common question is answered by one call, in few characters."""

from __future__ import annotations

from mcp_server.mlflow_integration.engine import Engine
from tests.conftest import connect
from tests.questions.phrasings import PHRASINGS
from tests.questions.store import seed

CHARACTERS_IN_ALL = 200_000


async def test_every_question_is_answered_by_the_call_that_belongs_to_it(mock_engine: Engine):
    """What an answer must contain is in its text half, and all of them together stay small."""
    assert len(PHRASINGS) >= 60
    unanswered: list[str] = []
    total = 0
    async with connect(mock_engine) as agent:
        await seed(agent)
        for phrase, tool, arguments, parts in PHRASINGS:
            result = await agent.client.call_tool(tool, arguments)
            text = result.content[0].text  # type: ignore[union-attr]
            total += len(text)
            missing = [part for part in parts if part not in text]
            if result.is_error or missing:
                unanswered.append(f"{phrase} ({tool}): lacks {missing}: {text[:300]}")
    assert unanswered == []
    assert total <= CHARACTERS_IN_ALL
