"""Questions and mistakes of a team that did not write this server: answered in two calls, right or repaired in one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_server.mlflow_integration.engine import Engine
from tests.conftest import connect
from tests.questions.team import seed
from tests.questions.team_mistakes import MISTAKES, RIGHT
from tests.questions.team_phrasings import PHRASINGS


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[dict[str, object]]:
    """Everybody may do everything, in a folder of their own."""
    yield {"toolsets": ("all",), "confirm": "never", "allowed_folders": (tmp_path,)}


async def test_questions_of_a_team_are_answered_in_two_calls(mock_engine: Engine, settings: dict[str, object]):
    """What an answer must say is in the text halves of the calls, together."""
    assert len(PHRASINGS) >= 40
    unanswered: list[str] = []
    async with connect(mock_engine, **settings) as agent:
        await seed(agent)
        for phrase, calls, parts in PHRASINGS:
            assert len(calls) <= 2
            results = [await agent.client.call_tool(tool, arguments) for tool, arguments in calls]
            text = "\n".join(result.content[0].text for result in results)  # type: ignore[union-attr]
            missing = [part for part in parts if part not in text]
            if missing or any(result.is_error for result in results):
                unanswered.append(f"{phrase}: lacks {missing}: {text[:400]}")
    assert unanswered == []


async def test_mistakes_of_a_team_are_answered_right_or_repaired_in_one_call(
    mock_engine: Engine, settings: dict[str, object]
):
    """As in test_mistakes.py."""
    assert len(MISTAKES) >= 40
    wrong: list[str] = []
    async with connect(mock_engine, **settings) as agent:
        await seed(agent)
        for tool, arguments, outcome, part in MISTAKES:
            result = await agent.client.call_tool(tool, arguments)
            text = result.content[0].text  # type: ignore[union-attr]
            if (outcome == RIGHT and result.is_error) or part not in text or "pydantic" in text or "Traceback" in text:
                wrong.append(f"{tool} {arguments} should be {outcome} with '{part}': {text[:250]}")
    assert wrong == []
