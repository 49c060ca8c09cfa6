"""Asking a person before something is deleted or replaced.

Where the host can ask, a person answers, and nothing that the agent sends replaces the answer. Where it cannot, the
agent repeats the exact name of what would be changed, so that a wrong guess does no harm.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context, Elicit, Resolve
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, Field

from mcp_server.errors import DeclinedError, InvalidInputError
from mcp_server.tools._context import MODERN, context_of
from mcp_server.tools._deadline import not_counted
from mcp_server.tools._signatures import with_parameters
from mcp_server.untrusted import one_line, sentence

_QUESTION_LIMIT: Final = 1_000
"""Characters of a question; a dialog shows hardly more."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked. An answer counts for exactly this text, so it names ids and versions."""

    text: str
    confirm_name: str
    """What the agent repeats where the host cannot ask."""
    person_only: bool = False
    """True where the promotion policy requires a person's agreement, whatever the settings are."""


class Confirmation(BaseModel):
    """What a person is asked for."""

    proceed: bool = Field(description="Yes, go on.")


Ask = Callable[..., Awaitable[Question | None]]
"""Takes what a resolver takes; returns None when nothing is deleted or replaced, so that no question is needed."""

Answer = ElicitationResult[Confirmation]
ConfirmName = Annotated[
    str,
    Field(description="Only if this server asks for it: the exact name, repeated."),
]


def with_consent(function: Callable[..., Any], ask: Ask) -> Callable[..., Any]:
    """The tool function, run only after consent; it gets an additional parameter `confirm_name`."""

    async def consent(context: Context[Any, Any], question: Question | None, confirm_name: str) -> Any:
        return await _decide(context, question, confirm_name)

    # The SDK reads annotations, which cannot name local values as text.
    consent.__annotations__ = {
        "context": Context,
        "question": Annotated[Any, Resolve(ask)],
        "confirm_name": str,
        "return": Confirmation | Elicit[Confirmation],
    }

    async def asked(*, answer: Any, confirm_name: str, **arguments: Any) -> Any:
        _need_yes(answer)
        return await function(**arguments)

    keyword = inspect.Parameter.KEYWORD_ONLY
    return with_parameters(
        asked,
        function,
        inspect.Parameter("answer", keyword, annotation=Annotated[Answer, Resolve(consent)]),
        inspect.Parameter("confirm_name", keyword, annotation=ConfirmName, default=""),
    )


async def _decide(
    context: Context[Any, Any], question: Question | None, confirm_name: str
) -> Confirmation | Elicit[Confirmation]:
    """The decision, or the question to put to a person.

    Raises: InvalidInputError: nobody can be asked, and `confirm_name` is not the name that the question requires.
        DeclinedError: nobody can be asked, and only a person may decide.
    """
    here = context_of(context)
    setting = here.engine.settings.confirm
    if question is None or (setting == "never" and not question.person_only):
        return Confirmation(proceed=True)
    text, name = sentence(question.text, _QUESTION_LIMIT), one_line(question.confirm_name)
    if tracker := here.tracker.name:
        # A repeated call that leaves out `tracker` must not delete on another one.
        text, name = f"On tracker {tracker}: {text}", f"{name} on {tracker}"
    if _can_ask(context):
        return await _put(context, text)
    if question.person_only or setting == "always":
        why = "the promotion policy" if question.person_only else "MLFLOW_MCP_CONFIRM=always"
        raise DeclinedError(f"A person has to agree to this ({why}), and this host cannot ask. Nothing was changed.")
    if one_line(confirm_name) == name:
        return Confirmation(proceed=True)
    wrong = f"confirm_name is '{confirm_name}'. " if confirm_name else ""
    raise InvalidInputError(
        f"{text} {wrong}This host cannot ask a person; to continue, repeat the call with confirm_name='{name}'. "
        "Nothing was changed."
    )


async def _put(context: Context[Any, Any], text: str) -> Confirmation | Elicit[Confirmation]:
    if (context.protocol_version or "") >= MODERN:
        return Elicit(text, Confirmation)
    # With an earlier protocol the call waits for the answer; the time that a person takes is not the server's.
    try:
        with not_counted():
            answer = await context.elicit(text, Confirmation)
    except (MCPError, ValueError):
        raise DeclinedError("The host could not put the question to a person. Nothing was changed.") from None
    _need_yes(answer)
    return Confirmation(proceed=True)


def _need_yes(answer: Answer) -> None:
    """Raises: DeclinedError: the person said no, or closed the question."""
    if isinstance(answer, AcceptedElicitation):
        if answer.data.proceed:
            return
        raise DeclinedError("The person who was asked said no. Nothing was changed.")
    said = "declined" if answer.action == "decline" else "closed the question without an answer"
    raise DeclinedError(f"The person who was asked {said}. Nothing was changed.")


def _can_ask(context: Context[Any, Any]) -> bool:
    capabilities = context.client_capabilities
    if capabilities is None or capabilities.elicitation is None:
        return False
    if capabilities.elicitation.form is None and capabilities.elicitation.url is not None:
        return False  # It can only open addresses.
    if (context.protocol_version or "") >= MODERN:
        return True
    return context.request_context.session.can_send_request
