"""Whether questions as users phrase them are answered, and mistakes of agents repaired, on every kind of store.

The questions and mistakes are those of `tests/questions`; the tests ask them in mock mode only.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
from measure import commit, mlflow_server, run

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from mcp_server.mlflow_integration.engine import Engine, open_engine  # noqa: E402
from mcp_server.settings import Settings  # noqa: E402
from tests.conftest import Agent, connect  # noqa: E402
from tests.questions import (  # noqa: E402
    lab,
    lab_mistakes,
    lab_phrasings,
    phrasings,
    store,
    team,
    team_mistakes,
    team_phrasings,
    test_mistakes,
)

CALLS_AT_MOST = 2


async def asked(agent: Agent, calls: list[tuple[str, dict[str, Any]]]) -> tuple[str, bool]:
    """The text halves of some calls, and whether none of them failed."""
    results = [await agent.client.call_tool(tool, arguments) for tool, arguments in calls]
    return "\n".join(one.content[0].text for one in results), not any(one.is_error for one in results)  # type: ignore[union-attr]


async def ours(agent: Agent) -> None:
    await store.seed(agent)
    questions = [(phrase, [(tool, arguments)], parts) for phrase, tool, arguments, parts in phrasings.PHRASINGS]
    await answered(agent, "questions, our words", questions)


async def our_mistakes(agent: Agent) -> None:
    await store.seed(agent)
    await repaired(agent, "mistakes", test_mistakes.MISTAKES)


async def of_others(agent: Agent) -> None:
    await team.seed(agent)
    questions = [(phrase, list(calls), parts) for phrase, calls, parts in team_phrasings.PHRASINGS]
    await answered(agent, "questions, other people's words", questions)


async def mistakes_of_others(agent: Agent) -> None:
    await team.seed(agent)
    await repaired(agent, "further mistakes", team_mistakes.MISTAKES)


async def of_a_lab(agent: Agent) -> None:
    await lab.seed(agent)
    questions = [(phrase, list(calls), parts) for phrase, calls, parts in lab_phrasings.PHRASINGS]
    await answered(agent, "questions beyond MLflow's own search", questions)


async def mistakes_of_a_lab(agent: Agent) -> None:
    await lab.seed(agent)
    await repaired(agent, "mistakes of other query languages", lab_mistakes.MISTAKES)


async def answered(agent: Agent, what: str, questions: list[tuple[str, list[Any], tuple[str, ...]]]) -> None:
    characters, unanswered = 0, []
    for phrase, calls, parts in questions:
        text, fine = await asked(agent, calls)
        characters += len(text)
        if not fine or len(calls) > CALLS_AT_MOST or not all(part in text for part in parts):
            unanswered.append(f"    {phrase}: {text[:200]!r}")
    print(
        f"  {what}: {len(questions) - len(unanswered)} of {len(questions)} answered, {characters:,} characters in all"
    )
    print(*unanswered, sep="\n", end="\n" if unanswered else "")


async def repaired(agent: Agent, what: str, mistakes: list[tuple[str, dict[str, Any], str, str]]) -> None:
    """A mistake is misled when it is answered and what was meant is not in the answer."""
    right = mended = misled = 0
    others: list[str] = []
    for tool, arguments, outcome, part in mistakes:
        text, fine = await asked(agent, [(tool, arguments)])
        if part in text and (fine or outcome == test_mistakes.REPAIRED):
            right, mended = right + fine, mended + (not fine)
        else:
            misled += fine
            others.append(f"    {tool} {arguments}: {text[:200]!r}")
    total = f"{right} answered, {mended} refused with what to write, {misled} misled, {len(others) - misled} neither"
    print(f"  {what}: of {len(mistakes)} {total}")
    print(*others, sep="\n", end="\n" if others else "")


@contextmanager
def opened(kind: str) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as folder:
        chosen: dict[str, Any] = {"allowed_folders": (Path(folder),), "confirm": "never"}
        if kind == "server":
            with mlflow_server() as address:
                yield open_engine(Settings.load(tracking_uri=address, **chosen))
            return
        where = {"mock_mode": True} if kind == "mock" else {"tracking_uri": f"sqlite:///{Path(folder).as_posix()}/m.db"}
        engine = open_engine(Settings.load(**where, **chosen))
        yield engine
        engine.close()


def main() -> None:
    print(f"questions and mistakes of tests/questions on every kind of store; {commit()}")
    for kind in ("mock", "sqlite", "server"):
        print(kind)
        for part in (ours, our_mistakes, of_others, mistakes_of_others, of_a_lab, mistakes_of_a_lab):
            with opened(kind) as engine:

                async def ask(engine: Engine = engine, part: Any = part) -> None:
                    async with connect(engine) as agent:
                        await part(agent)

                anyio.run(ask)


if __name__ == "__main__":
    run(main)
