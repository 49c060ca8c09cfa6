"""The `check` command: which MLflow, why, whether it answers and what it contains, in sentences for a person."""

from __future__ import annotations

import anyio
from rich.console import Console

from mcp_server.errors import SettingsError
from mcp_server.mlflow_integration.engine import Engine, open_engine
from mcp_server.mlflow_integration.locate import is_yet_to_be_made, locate
from mcp_server.mlflow_integration.operations.status import ConnectionStatus, connection_status
from mcp_server.mlflow_integration.rest.credentials import withheld_credentials
from mcp_server.settings import Settings
from mcp_server.tools import chosen_tools
from mcp_server.tracker_settings import own_words, settings_by_tracker
from mcp_server.trackers import Trackers


def check(settings: Settings) -> int:
    """Prints what was found. Returns: 0 when every MLflow answers and the server would start, else 1.

    Raises: SettingsError: the trackers contradict each other.
    """
    console = Console(highlight=False, soft_wrap=True)
    by_tracker = settings_by_tracker(settings)
    # Read-only, because a check must not create or change anything.
    engines = [open_engine(one.model_copy(update={"read_only": True})) for one in by_tracker.values()]
    works = [_works(console, engine, one) for engine, one in zip(engines, by_tracker.values(), strict=True)]
    read_only = all(one.read_only for one in by_tracker.values())
    try:
        several = Trackers.over(engines).several
        tools = chosen_tools(settings.model_copy(update={"read_only": read_only}), several_trackers=several)
    except SettingsError as error:
        console.print(str(error), markup=False)
        return 1
    mode = " It is read-only: nothing can be changed." if read_only else ""
    console.print(f"The server offers {len(tools)} tools.{mode}", markup=False)
    return 0 if all(works) else 1


def _works(console: Console, engine: Engine, settings: Settings) -> bool:
    """Prints what is known of one MLflow. Returns: whether it answers, or would once it is made."""
    name = f" of tracker {settings.tracker}" if settings.tracker else ""
    mode = " It is read-only." if settings.tracker and settings.read_only else ""
    console.print(f"MLflow{name}: {engine.location.shown_uri}", markup=False)
    console.print(f"Why this one: {engine.location.why}.{mode}", markup=False)
    for sentence in (*settings.ignored, *withheld_credentials(settings)):
        console.print(sentence, markup=False)
    if is_yet_to_be_made(locate(settings).local_store):
        console.print("It does not exist yet: the server creates it when a tool is first called.", markup=False)
        return True
    with console.status("Asking MLflow..."):
        status = anyio.run(_ask, engine)
    for sentence in _sentences(status):
        console.print(own_words(sentence, settings), markup=False)
    return status.answers


async def _ask(engine: Engine) -> ConnectionStatus:
    try:
        with anyio.fail_after(engine.settings.timeout_seconds):
            return await connection_status(engine.api, engine.registry)
    except TimeoutError:
        seconds = engine.settings.timeout_seconds
        return ConnectionStatus(False, f"MLflow did not answer within {seconds:g} s.")
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
