"""Questions and mistakes of people who did not write this server: answered in two calls, right or repaired in one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mcp_server.mlflow_integration.engine import Engine
from tests.conftest import Agent, connect
from tests.questions import lab, lab_mistakes, lab_phrasings, team, team_mistakes, team_phrasings
from tests.questions.team_mistakes import RIGHT


@dataclass(frozen=True, slots=True)
class World:
    """A store with the questions and mistakes that are about it."""

    seed: Callable[[Agent], Awaitable[None]]
    questions: list[tuple[str, tuple[tuple[str, dict[str, Any]], ...], tuple[str, ...]]]
    mistakes: list[tuple[str, dict[str, Any], str, str]]


WORLDS = {
    "team": World(team.seed, team_phrasings.PHRASINGS, team_mistakes.MISTAKES),
    "lab": World(lab.seed, lab_phrasings.PHRASINGS, lab_mistakes.MISTAKES),
}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    return WORLDS[request.param]


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[dict[str, object]]:
    """Everybody may do everything, in a folder of their own."""
    yield {"toolsets": ("all",), "confirm": "never", "allowed_folders": (tmp_path,)}


async def test_questions_are_answered_in_two_calls(world: World, mock_engine: Engine, settings: dict[str, object]):
    """What an answer must say is in the text halves of the calls, together."""
    unanswered: list[str] = []
    async with connect(mock_engine, **settings) as agent:
        await world.seed(agent)
        for phrase, calls, parts in world.questions:
            assert len(calls) <= 2
            results = [await agent.client.call_tool(tool, arguments) for tool, arguments in calls]
            text = "\n".join(result.content[0].text for result in results)  # type: ignore[union-attr]
            missing = [part for part in parts if part not in text]
            if missing or any(result.is_error for result in results):
                unanswered.append(f"{phrase}: lacks {missing}: {text[:400]}")
    assert unanswered == []


async def test_mistakes_are_answered_right_or_repaired_in_one_call(
    world: World, mock_engine: Engine, settings: dict[str, object]
):
    """As in test_mistakes.py."""
    wrong: list[str] = []
    async with connect(mock_engine, **settings) as agent:
        await world.seed(agent)
        for tool, arguments, outcome, part in world.mistakes:
            result = await agent.client.call_tool(tool, arguments)
            text = result.content[0].text  # type: ignore[union-attr]
            if (outcome == RIGHT and result.is_error) or part not in text or "pydantic" in text or "Traceback" in text:
                wrong.append(f"{tool} {arguments} should be {outcome} with '{part}': {text[:250]}")
    assert wrong == []
