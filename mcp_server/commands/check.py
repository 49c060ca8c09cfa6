"""The `check` command: which MLflow, why, whether it answers, what it holds; for a person, in words."""

from __future__ import annotations

import anyio
from rich.console import Console

from mcp_server.errors import DeadlineError, SettingsError
from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.mlflow_integration.locate import is_yet_to_be_made, locate
from mcp_server.mlflow_integration.operations.status import ConnectionStatus, connection_status
from mcp_server.mlflow_integration.rest.credentials import withheld_credentials
from mcp_server.settings import Settings
from mcp_server.tools import chosen_tools


def check(settings: Settings) -> int:
    """Prints what was found. Returns: 0 when MLflow answers, 1 when it does not or the toolsets are unknown."""
    console = Console(highlight=False, soft_wrap=True)
    # Read-only: looking creates and changes nothing.
    engine = open_engine(settings.model_copy(update={"read_only": True}))
    console.print(f"MLflow: {engine.location.shown_uri}", markup=False)
    console.print(f"Why this one: {engine.location.why}.", markup=False)
    for sentence in (*settings.ignored, *withheld_credentials(settings)):
        console.print(sentence, markup=False)
    works = True
    if is_yet_to_be_made(locate(settings).local_store):
        console.print("It does not exist yet: the server creates it when a tool is first called.", markup=False)
    else:
        with console.status("Asking MLflow..."):
            status = anyio.run(_ask, engine)
        works = status.answers
        for sentence in _sentences(status):
            console.print(sentence, markup=False)
    try:
        tools = chosen_tools(settings)
    except SettingsError as error:
        console.print(str(error), markup=False)
        return 1
    mode = " It is read-only: nothing can be changed." if settings.read_only else ""
    console.print(f"The server offers {len(tools)} tools.{mode}", markup=False)
    return 0 if works else 1


async def _ask(engine: Engine) -> ConnectionStatus:
    try:
        with anyio.fail_after(engine.settings.timeout_seconds):
            return await connection_status(engine.api, engine.registry)
    except TimeoutError:
        seconds = engine.settings.timeout_seconds
        return ConnectionStatus(False, str(DeadlineError(f"MLflow did not answer within {seconds:g} s.")))
    finally:
        await engine.aclose()


def _sentences(status: ConnectionStatus) -> list[str]:
    if not status.answers:
        version = [f"It is MLflow {status.version}, but not everything works."] if status.version else []
        return [*version, status.problem]
    return [
        f"It answers: MLflow {status.version}.",
        f"It holds {_count(status.experiments, 'experiment')} and {_count(status.models, 'registered model')}.",
    ]


def _count(number: str, noun: str) -> str:
    return f"{number} {noun}" if number == "1" else f"{number} {noun}s"
